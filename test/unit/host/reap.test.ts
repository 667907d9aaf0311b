/** Of two launches of one id, one after the other, what the first has left goes, and nothing of the second. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type Dockerode from 'dockerode';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivityHost } from '../../../src/activities/activity-host.ts';
import { stepFunctions } from '../../../src/activities/index.ts';
import { bundleName } from '../../../src/core/names.ts';
import { findLeftovers, reap } from '../../../src/host/reap.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { claimState, readStateOwner } from '../../../src/host/state-owner.ts';

const OWNER = 'cluster/default';
const ID = 'demo';
const KINDS = ['network', 'bundle', 'machine.create'] as const;

interface Made {
  Id: string;
  Name: string;
  Names: string[];
  Labels: Record<string, string>;
  State: string;
}

let settings: Settings;
let made: Made[];
let host: ActivityHost;
beforeEach(async () => {
  settings = readSettings({ BOTTLE_STATE: mkdtempSync(path.join(os.tmpdir(), 'bottle-reap-')), BOTTLE_HOST: 'h' });
  made = ['first', 'second'].flatMap((run) =>
    KINDS.map((step) => ({
      Id: `${step}-of-${run}`,
      // Names are the same in each launch, so the Engine knows the second's by them.
      Name: step === 'bundle' && run === 'second' ? bundleName(ID) : `${step}-of-${run}`,
      Names: [],
      State: 'exited',
      Labels: {
        'bottleworks.owner': OWNER,
        'bottleworks.bottle': ID,
        'bottleworks.run': run,
        'bottleworks.step': step,
      },
    })),
  );
  host = { docker: playedEngine(), owner: OWNER, settings } as unknown as ActivityHost;
  await claimState(settings, { id: ID, runId: 'second' }, { owner: OWNER });
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

/** Finds by labels, id and name, as an Engine does. */
function playedEngine(): Dockerode {
  const found = (isNetwork: boolean, { filters }: { filters: { label: string[] } }): Made[] =>
    made.filter(
      ({ Labels }) =>
        (Labels['bottleworks.step'] === 'network') === isNetwork &&
        filters.label.every((label) => {
          const [name = '', value] = label.split('=');
          return name in Labels && (value === undefined || Labels[name] === value);
        }),
    );
  const thing = (which: string) => ({
    inspect: async () => {
      const known = made.find(({ Id, Name }) => Id === which || Name === which);
      if (known === undefined) throw Object.assign(new Error('no such'), { statusCode: 404 });
      return { Id: known.Id, Config: { Labels: known.Labels }, State: { Running: false }, Containers: {} };
    },
    remove: async () => {
      made = made.filter(({ Id }) => Id !== which);
    },
    stop: async () => undefined,
    logs: async () => Buffer.alloc(0),
  });
  return {
    listContainers: async (which: { filters: { label: string[] } }) => found(false, which),
    listNetworks: async (which: { filters: { label: string[] } }) => found(true, which),
    getContainer: thing,
    getNetwork: thing,
  } as unknown as Dockerode;
}

const left = (): string[] => made.map(({ Id }) => Id).sort();
const OF_SECOND = KINDS.map((kind) => `${kind}-of-second`).sort();

/** @param open the run id of each answer, the last one for all that follow; undefined: no such launch */
function temporal(...open: (string | undefined)[]): Client {
  const describe = async () => {
    const run = open.length > 1 ? open.shift() : open[0];
    if (run === undefined) throw new WorkflowNotFoundError('no such', ID, undefined);
    return { status: { name: 'RUNNING' }, runId: run, raw: { workflowExecutionInfo: { firstRunId: run } } };
  };
  return { workflow: { getHandle: () => ({ describe }) } } as unknown as Client;
}

test('while the second is open, what the first has left goes', async () => {
  const place = { host, client: temporal('second') };
  expect(await findLeftovers(place)).toMatchObject([{ id: ID, run: 'first' }]);
  await reap(place);
  expect(left()).toEqual(OF_SECOND);
  expect(await readStateOwner(settings, ID)).toMatchObject({ run: 'second' });
});

test('a second that begins between the question and the removal loses nothing', async () => {
  // Neither is open when it is asked of both; when it is asked again before each removal, the second is.
  await reap({ host, client: temporal(undefined, undefined, 'second') });
  expect(left()).toEqual(OF_SECOND);
  expect(await readStateOwner(settings, ID)).toMatchObject({ run: 'second' });
});

test('an undo of the first that comes late takes nothing of the second', async () => {
  const steps = stepFunctions(host);
  const bottle = { id: ID, runId: 'first' };
  const { signal } = new AbortController();
  await steps['machine.stop']({ bottle, driver: 'docker' }, signal);
  await steps['machine.delete']({ bottle, driver: 'docker' }, signal);
  await steps['bundle.remove']({ bottle }, signal);
  await steps['network.remove']({ bottle }, signal);
  await steps['state.remove']({ bottle }, signal);
  expect(left()).toEqual(OF_SECOND);
  expect(await readStateOwner(settings, ID)).toMatchObject({ run: 'second' });
});
