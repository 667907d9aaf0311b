/** A whole launch in the network of a company: a real proxy that wants a login is the only way out, and reads nothing; the world behind it has a CA of its own. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EGRESS_URL } from '../../src/core/daemons.ts';
import { imageScanner, imageTags } from '../../src/host/images.ts';
import { type CompanyNetwork, companyNetwork } from '../support/company-proxy.ts';
import { docker, type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';
import { startWorld, type World } from '../support/world.ts';

let it: Installation;
let world: World;
let company: CompanyNetwork;
const id = uniqueId('company');
/** The real pipelock cannot dial by a proxy, so a bottle that allows hosts is refused with it. */
const opensHosts = (await imageScanner()) === 'allow-list';

beforeAll(async () => {
  const { guest } = await imageTags();
  [world, it] = await Promise.all([startWorld({ docker, image: guest }), installation()]);
  company = await companyNetwork(docker, guest, world);
  const secretFile = (name: string, value: string): string => {
    const file = path.join(it.settings.home, name);
    writeFileSync(file, value, { mode: 0o600 });
    return `file:${file}`;
  };
  const { host, port, username, password } = company.proxy;
  const login = `username: ${username}, password: "${secretFile('proxy-password', password)}"`;
  it.writeConfig(
    `network: {uplink: ${company.name}, ca: ${world.ca.file}, proxy: {url: "http://${host}:${port}", ${login}}}`,
  );
  it.writeBottle(
    'corp',
    `
image: minimal
agent_provider: {api_key: "${secretFile('model-key', world.modelKey)}", base_url: https://model.test}
allow: [${opensHosts ? 'pkg.test' : ''}]
`,
  );
  it.writeAgent('corp', 'bottle: corp');
  await it.startWorker();
});
afterAll(async () => {
  await it?.dispose();
  await company?.dispose();
  await world?.dispose();
});

async function inside(script: string): Promise<string> {
  const program = path.join(root, 'dist/client/main.js');
  const argv = [program, 'exec', id, '--', 'sh', '-c', script];
  return (await promisify(execFile)(process.execPath, argv, { env: it.env })).stdout;
}

test('a bottle becomes ready, its agent gets out by the proxy and nowhere else, and a stop leaves nothing', async () => {
  await it.launch(id, { agent: 'corp' });
  expect(await it.waitFor(id, ({ phase }) => phase === 'ready' || phase === 'held')).toSatisfy(isReady);
  expect(await it.status(id)).not.toHaveProperty('wayOut');

  const question = JSON.stringify({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'hello' }] });
  const asks = `curl -sS --max-time 60 -H 'content-type: application/json' -d '${question}'`;
  expect(await inside(`${asks} ${EGRESS_URL}/anthropic/v1/messages`)).toContain('"type":"message"');
  // Nobody told curl of the company's CA: the machine trusts it.
  if (opensHosts) expect(await inside('curl -sS --max-time 60 https://pkg.test/tiny')).toContain('"name":"tiny"');
  expect(await inside("curl -s -o /dev/null -w '%{http_connect}' https://git.test/ || true")).toBe('403');

  const asked = await company.asked();
  const names = ['model.test', ...(opensHosts ? ['pkg.test'] : [])];
  expect(asked).toEqual(expect.arrayContaining(names.map((name) => `CONNECT ${name}:443 HTTP/1.1`)));
  expect(asked.join()).not.toContain('git.test');
  expect(await it.down(id)).toEqual([]);
});
