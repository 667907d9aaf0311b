/** What a proxy before the Engine, or whoever logs its requests, gets to see in the addresses of a bottle's calls: nothing of it. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dockerAt } from '../../src/host/docker-connection.ts';
import { dockerEndpoint } from '../../src/host/docker-endpoint.ts';
import { dockerDriver } from '../../src/host/machine/docker.ts';
import { run } from '../support/docker-site.ts';
import { type Installation, installation, isReady, uniqueId } from '../support/installation.ts';
import { type EngineSocket, recordingProxy } from '../support/recording-engine.ts';

let proxy: EngineSocket;
let it: Installation;
const written = `written-${randomUUID()}`;
const typed = `typed-${randomUUID()}`;

beforeAll(async () => {
  proxy = await recordingProxy(dockerEndpoint().address.replace(/^unix:\/\//, ''));
  it = await installation();
  it.env['DOCKER_HOST'] = proxy.url;
  it.env['FROM_HOST'] = `host-${written}`;
  it.writeBottle('closed', `env: {WRITTEN: ${written}, HOSTS: "\${FROM_HOST}"}\nallow: [example.com]`);
  it.writeAgent('demo', 'bottle: closed\nskills: [greet]', `Be kind, ${written}.`);
  it.writeSkill('greet', `# ${written}\n`);
  await it.startWorker();
});
afterAll(async () => {
  await it?.dispose();
  await proxy?.close();
});

test('no address of a whole launch holds anything of what a container is made from, or is told', async () => {
  const id = uniqueId('addresses');
  await it.launch(id, { agent: 'demo' });
  await it.waitFor(id, isReady);
  const docker = dockerAt({ address: proxy.url, chosenBy: { kind: 'DOCKER_HOST' } });
  const driver = dockerDriver({ docker, owner: it.owner });
  const told = await run(driver, id, ['sh', '-c', 'cat; echo $TYPED'], { stdin: typed, env: { TYPED: typed } });
  expect(told.stdout).toBe(`${typed}${typed}\n`);
  // A launch whose provisioners all share one trip writes nothing this way.
  await driver.putFiles(id, [{ path: '/home/agent/typed', content: Buffer.from(typed), mode: 0o600 }]);
  expect(await it.down(id)).toEqual([]);

  const addresses = proxy.calls;
  // All of it went this way.
  for (const part of [`create?name=bottle-${id}-machine`, '/networks/create', '/exec', '/archive?', '/events?'])
    expect(
      addresses.filter((address) => address.includes(part)),
      part,
    ).not.toEqual([]);
  const all = addresses.map((address) => decodeURIComponent(address.replaceAll('+', ' '))).join('\n');
  for (const secret of [written, typed]) expect(all).not.toContain(secret);
  // A document's keys begin with a capital, a query's do not.
  const keys = addresses.flatMap((address) => [
    ...new URL(address.split(' ')[1] ?? '', 'http://engine').searchParams.keys(),
  ]);
  expect(keys.filter((key) => /^[A-Z]/.test(key))).toEqual([]);
});
