/** A container that is being removed is nobody's machine: it can be neither started nor adopted. */
import type Dockerode from 'dockerode';
import { expect, test, vi } from 'vitest';
import { LABEL } from '../../../src/core/names.ts';
import { ensureContainer } from '../../../src/host/container.ts';
import { objectLabels } from '../../../src/host/docker.ts';
import { dockerDriver } from '../../../src/host/machine/docker.ts';

const OWNER = 'cluster/default';
const BOTTLE = { id: 'demo', runId: 'run' };
const SPEC = { Image: 'bottleworks/guest:1' };

/** An Engine with one container, of this state, that `removed` tells the end of. */
function engineWith(state: Partial<Dockerode.ContainerInspectInfo['State']>, labels: Record<string, string>) {
  const removed = vi.fn(async () => undefined);
  const created = vi.fn(async ({ name }: { name: string }) => ({ id: `new-${name}` }));
  const container = {
    inspect: async () => ({
      Id: 'old',
      State: { Running: false, Dead: false, ...state },
      Config: { Labels: labels },
      NetworkSettings: { Networks: {} },
    }),
    remove: async () => Promise.reject(Object.assign(new Error('already in progress'), { statusCode: 409 })),
    wait: removed,
  };
  const docker = {
    getContainer: () => ({ id: 'old', ...container }),
    createContainer: created,
    version: async () => ({ Version: '26.1.5', ApiVersion: '1.45', Os: 'linux', Arch: 'amd64' }),
    info: async () => ({ SecurityOptions: [], CgroupVersion: '1' }),
  } as unknown as Dockerode;
  return { host: { docker, owner: OWNER }, removed, created };
}

test.each([
  ['removing', { Status: 'removing' }],
  ['dead', { Status: 'dead', Dead: true }],
])('a machine that is %s is absent, not stopped', async (_, state) => {
  const { host } = engineWith(state, { [LABEL.owner]: OWNER });
  expect(await dockerDriver(host).status('demo')).toBe('absent');
});

test('one that merely ended is stopped', async () => {
  const { host } = engineWith({ Status: 'exited' }, { [LABEL.owner]: OWNER });
  expect(await dockerDriver(host).status('demo')).toBe('stopped');
});

test('it is not adopted although it was made from the same: its end is waited for, and another made', async () => {
  const labels = objectLabels({ owner: OWNER } as never, BOTTLE, 'machine.create', SPEC);
  const { host, removed, created } = engineWith({ Status: 'removing' }, labels);
  await ensureContainer(host, BOTTLE, 'machine.create', 'bottle-demo-machine', SPEC);
  expect(removed).toHaveBeenCalledWith({ condition: 'removed' });
  expect(created).toHaveBeenCalledOnce();
});
