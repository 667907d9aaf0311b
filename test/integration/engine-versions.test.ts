/** What is asked of an Engine is taken by it in every version of the API that it speaks and that has another way of asking. */
import Dockerode from 'dockerode';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LABEL, machineName } from '../../src/core/names.ts';
import { asEngineTakes } from '../../src/host/container-request.ts';
import { type EngineFacts, engineFacts, speaks } from '../../src/host/engine-facts.ts';
import { unsupported } from '../../src/host/engine-support.ts';
import { type DockerSite, dockerSite, sh } from '../support/docker-site.ts';
import { runIn } from '../support/run-in-container.ts';

let site: DockerSite;
let facts: EngineFacts;
beforeAll(async () => {
  site = await dockerSite();
  facts = await engineFacts(site.docker);
});
afterAll(() => site?.dispose());

const SETTINGS = '/proc/sys/net/ipv4/neigh/eth0';

test('the Engine that the tests run on is one that a bottle may run on', () => {
  expect(unsupported(facts)).toBeUndefined();
  expect(facts).toMatchObject({ product: 'Docker Engine', apiVersion: expect.stringMatching(/^1\.\d+$/) });
});

test('a machine gives up soon on a neighbour that is not there', async () => {
  const { bottle } = await site.machine();
  const { stdout } = await sh(site.driver, bottle.id, `cat ${SETTINGS}/retrans_time_ms ${SETTINGS}/mcast_solicit`);
  const [retransMs, solicit] = stdout.split('\n').map(Number);
  // The kernel rounds up to its own clock; unasked, it is a second.
  expect(retransMs).toBeLessThanOrEqual(20);
  expect(solicit).toBe(3);
  expect((await site.inspect(machineName(bottle.id))).State.Running).toBe(true);
});

// Those in which what is asked has changed, the ones before and after included; an Engine has some of them.
test('each version of the API that it speaks takes what is made for that version', async ({ annotate }) => {
  const spoken = ['1.41', '1.43', '1.44', '1.45', '1.46', '1.47', '1.48', '1.51'].filter((api) => speaks(facts, api));
  await annotate(`Docker Engine ${facts.version}: ${spoken.join(', ')}`);
  const { name } = await site.network(site.bottle());
  const spec = {
    Image: site.images.guest,
    Cmd: ['tini', '--', 'sleep', 'infinity'],
    HostConfig: { NetworkMode: name, Sysctls: { 'net.ipv4.neigh.eth0.mcast_solicit': '7' } },
    NetworkingConfig: { EndpointsConfig: { [name]: {} } },
  };
  const took: string[] = [];
  for (const api of spoken) {
    const versioned = new Dockerode({ ...endpoint(), version: `v${api}` });
    // The site's own create would ask as the Engine's newest version has it.
    const asked = asEngineTakes({ ...facts, apiVersion: api }, spec);
    const made = await versioned.createContainer({ ...asked, Labels: { [LABEL.owner]: site.owner } });
    await made.start();
    const read = await runIn(site, made.id, ['cat', `${SETTINGS}/mcast_solicit`]);
    if (read.stdout === '7\n') took.push(api);
    await made.remove({ force: true });
  }
  expect(took).toEqual(spoken);
});

/** The connection of the site, without what settles the version. */
function endpoint(): Dockerode.DockerOptions {
  const { socketPath, host, port } = site.docker.modem as Dockerode.DockerOptions;
  return { socketPath, host, port } as Dockerode.DockerOptions;
}
