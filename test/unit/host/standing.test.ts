import Dockerode from 'dockerode';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LABEL } from '../../../src/core/names.ts';
import type { MachineHost } from '../../../src/host/machine/drivers.ts';
import { lossOf } from '../../../src/host/standing.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

const NETWORK = { Id: 'n1', Name: 'bottle-a' };
const running = (networks: string[]) => ({
  Config: { Labels: { [LABEL.owner]: 'me' } },
  State: { Running: true, Status: 'running', ExitCode: 0 },
  NetworkSettings: { Networks: Object.fromEntries(networks.map((name) => [name, { NetworkID: 'n1' }])) },
});

let engine: EngineSocket;
let there: Record<string, unknown>;
beforeEach(async () => {
  there = { networks: [NETWORK], bundle: running(['bottle-a', 'bridge']), machine: running(['bottle-a']) };
  engine = await playedEngine((asked, response) => {
    const [, part = 'networks'] = /bottle-a-(bundle|machine)/.exec(asked.url ?? '') ?? [];
    const found = there[part];
    response.writeHead(found === undefined ? 404 : 200, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify(found ?? { message: 'no such container' }));
  });
});
afterEach(() => engine.close());

const look = () => {
  const host = { docker: new Dockerode({ socketPath: engine.socketPath }), owner: 'me' } as unknown as MachineHost;
  return lossOf(host, { bottle: { id: 'a', runId: 'r' }, driver: 'docker' });
};

test('where all stands nothing is lost, and each thing is asked for once', async () => {
  expect(await look()).toEqual({ steps: [], why: {} });
  expect(engine.calls).toHaveLength(3);
});

test('a machine that is gone is told of, with all that was in it', async () => {
  delete there['machine'];
  const { steps, why } = await look();
  expect(why).toEqual({ 'machine.create': 'the machine is gone' });
  expect(steps.slice(0, 2)).toEqual(['machine.create', 'machine.start']);
  expect(steps).toContain('provision.prompt');
});

test('another owner\u2019s container is none of ours', async () => {
  there['bundle'] = { ...running(['bottle-a', 'bridge']), Config: { Labels: { [LABEL.owner]: 'somebody else' } } };
  expect((await look()).why).toEqual({ bundle: 'the bundle is gone' });
});
