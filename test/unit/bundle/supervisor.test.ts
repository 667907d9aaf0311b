import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BackoffPolicy } from '../../../src/bundle/backoff.ts';
import { byMessage, type Feed } from '../../../src/bundle/feed.ts';
import type { DaemonStatus } from '../../../src/bundle/status-report.ts';
import { type DaemonSpec, type Supervisor, startSupervisor } from '../../../src/bundle/supervisor.ts';

const FIXTURE = fileURLToPath(new URL('../../fixtures/bundle/daemon.mjs', import.meta.url));
const QUICK: BackoffPolicy = { firstMs: 1, capMs: 4, healthyMs: 60_000, failedAfter: 3 };

type Picture = Record<string, DaemonStatus>;

let supervisor: Supervisor | undefined;
let log = '';
let pictures: Picture[];
let wake: () => void;

beforeEach(() => {
  supervisor = undefined;
  log = '';
  pictures = [];
  wake = () => {};
});

afterEach(async () => {
  await supervisor?.stop();
});

interface Options {
  backoff?: BackoffPolicy;
  graceMs?: number;
  /** Of single daemons. */
  change?: Record<string, Partial<DaemonSpec>>;
  /** Given at once to every daemon; undefined: nothing is given yet. */
  config?: unknown;
}

function supervise(daemons: Record<string, string[]>, { change = {}, ...rest }: Options = {}): void {
  const { config, ...options } = { config: 'first', ...rest };
  supervisor = startSupervisor({
    daemons: Object.entries(daemons).map(([name, behaviours]) => ({
      name,
      command: process.execPath,
      args: [FIXTURE, ...behaviours],
      env: { ONLY: name },
      feed: byMessage,
      ...change[name],
    })),
    write: (lines) => {
      log += lines;
      wake();
    },
    onChange: (daemons) => {
      pictures.push(daemons);
      wake();
    },
    backoff: QUICK,
    ...options,
  });
  if (config !== undefined) void supervisor.apply(toAll(Object.keys(daemons), config));
}

const toAll = (names: string[], config: unknown) => Object.fromEntries(names.map((name) => [name, config]));

/** Waits until it holds, looking again after each line and each change. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
}

const now = (name: string) => pictures.at(-1)?.[name];
const statesOf = (name: string) =>
  pictures.map((picture) => picture[name]?.state).filter((state, at, all) => state !== all[at - 1]);

test('a daemon is starting until it says that it is ready', async () => {
  supervise({ a: ['ready', 'stay'], b: ['stay'] });
  expect(pictures[0]?.['a']).toMatchObject({ state: 'starting', restarts: 0, pid: expect.any(Number) });
  await until(() => now('a')?.state === 'ready');
  expect(statesOf('a')).toEqual(['starting', 'ready']);
  expect(statesOf('b')).toEqual(['starting']);
});

test('a helper is told of as part of its daemon alone, which is not ready without it', async () => {
  const daemons = { a: ['ready', 'stay'], help: ['stay'], later: ['ready', 'stay'] };
  supervise(daemons, { change: { help: { partOf: 'a' }, later: { after: ['a'] } } });
  await until(() => now('later')?.state === 'ready');
  expect(statesOf('a')).toEqual(['starting']);
  expect(Object.keys(pictures.at(-1) ?? {})).toEqual(['a', 'later']);
});

test('a helper that keeps dying shows in the state of its daemon, which goes on as it was', async () => {
  supervise({ a: ['ready', 'stay'], help: ['ready-crash'] }, { change: { help: { partOf: 'a' } } });
  await until(() => now('a')?.state === 'failed');
  const others = new Set(pictures.flatMap(({ a }) => (a?.state === 'starting' ? [] : [`${a?.pid} ${a?.restarts}`])));
  expect([...others]).toEqual([`${now('a')?.pid} 0`]);
  expect(log).toContain('[init] help ended (exit code 3)');
});

test('a daemon without a configuration is started, and waits for one', async () => {
  supervise({ a: ['ready', 'tell', 'stay'] }, { config: undefined });
  expect(now('a')).toMatchObject({ state: 'starting', pid: expect.any(Number) });
  await supervisor?.apply({ a: { x: 1 } });
  expect(now('a')?.state).toBe('ready');
  await until(() => log.includes('[a] config {"x":1}\n'));
});

test('each line of output carries the name of its daemon', async () => {
  supervise({ a: ['speak', 'stay'], b: ['speak', 'stay'] });
  await until(() => log.split('\n').length > 4);
  expect(log.trim().split('\n').sort()).toEqual(['[a] to stderr', '[a] to stdout', '[b] to stderr', '[b] to stdout']);
});

test('a daemon has its own environment and nothing of ours', async () => {
  supervise({ a: ['environment', 'stay'] });
  await until(() => log.includes('\n'));
  const seen = Object.keys(JSON.parse(log.replace('[a] ', '')) as object);
  // Node itself sets the others, for the channel.
  expect(seen.filter((name) => !name.startsWith('NODE_CHANNEL_'))).toEqual(['ONLY']);
});

test('a daemon that is killed is started again, and is ready again in another process', async () => {
  supervise({ a: ['ready', 'stay'] });
  await until(() => now('a')?.state === 'ready');
  const first = now('a')?.pid as number;
  process.kill(first, 'SIGKILL');
  await until(() => now('a')?.state === 'ready' && now('a')?.restarts === 1);
  expect(statesOf('a')).toEqual(['starting', 'ready', 'backoff', 'starting', 'ready']);
  expect(now('a')?.pid).not.toBe(first);
  expect(log).toContain('[init] a ended (SIGKILL), starting it again in 1 ms\n');
});

test('a daemon that keeps dying is failed, still tried at the longest delay, and takes no other down', async () => {
  supervise({ a: ['crash'], b: ['ready', 'stay'] });
  await until(() => (now('a')?.restarts ?? 0) >= 6 && now('b')?.state === 'ready');
  expect(statesOf('a')).toEqual(['starting', 'backoff', 'starting', 'backoff', 'starting', 'failed']);
  expect(now('b')).toMatchObject({ state: 'ready', restarts: 0 });
  const delays = [...log.matchAll(/a ended \(exit code 3\), starting it again in (\d+) ms/g)].map(([, ms]) =>
    Number(ms),
  );
  expect(delays.slice(0, 6)).toEqual([1, 2, 4, 4, 4, 4]);
});

test('a daemon that dies after it was ready counts as well, until it has run healthy for a while', async () => {
  supervise({ a: ['ready-crash'] }, { backoff: { ...QUICK, failedAfter: 2 } });
  await until(() => statesOf('a').includes('failed'));
  await supervisor?.stop();
  pictures = [];
  log = '';
  supervise({ a: ['ready', 'stay'] }, { backoff: { ...QUICK, healthyMs: 0, failedAfter: 2 } });
  for (const restarts of [0, 1, 2]) {
    await until(() => now('a')?.state === 'ready' && now('a')?.restarts === restarts);
    process.kill(now('a')?.pid as number, 'SIGKILL');
  }
  await until(() => now('a')?.restarts === 3);
  expect(statesOf('a')).not.toContain('failed');
});

test('a program that cannot be started at all is reported and tried again', async () => {
  supervisor = startSupervisor({
    daemons: [{ name: 'a', command: '/no/such/program', args: [], env: {}, feed: byMessage }],
    write: (lines) => {
      log += lines;
    },
    onChange: (daemons) => {
      pictures.push(daemons);
      wake();
    },
    backoff: QUICK,
  });
  await until(() => now('a')?.state === 'failed');
  expect(log).toContain('[init] a: spawn /no/such/program ENOENT\n');
});

test('a program that the system refuses to start is reported and tried again, and takes no other down', async () => {
  // More than execve(2) takes in one argument: thrown at once, where a missing program is an event later on.
  const args = ['x'.repeat(200_000)];
  const prepared: Feed = { ...byMessage, prepare: async () => undefined };
  const change = { a: { args }, b: { args, feed: prepared } };
  supervise({ a: [], b: [], c: ['ready', 'stay'] }, { change });
  await until(() => now('a')?.state === 'failed' && now('b')?.state === 'failed' && now('c')?.state === 'ready');
  for (const name of ['a', 'b']) expect(log).toContain(`[init] ${name}: spawn E2BIG\n`);
  expect(now('c')).toMatchObject({ restarts: 0 });
});

test('a program that cannot be started is not given a configuration, and the next delivery still reaches the others', async () => {
  const given: unknown[] = [];
  const feed: Feed = { ...byMessage, first: (_child, config) => given.push(config) };
  supervise({ a: [], b: ['ready', 'stay'] }, { change: { a: { command: '/no/such/program', feed } } });
  await until(() => now('a')?.state === 'failed' && now('b')?.state === 'ready');
  void supervisor?.apply({ a: 'second', b: 'second' });
  const { restarts = 0 } = now('a') ?? {};
  await until(() => (now('a')?.restarts ?? 0) > restarts);
  expect(given).toEqual([]);
  expect(now('b')).toMatchObject({ state: 'ready', restarts: 0 });
});

test('a daemon whose preparation keeps failing is failed, also after it has run healthy once', async () => {
  let fails = false;
  const feed: Feed = {
    ...byMessage,
    prepare: async () => {
      if (fails) throw new Error('no room');
    },
  };
  supervise({ a: ['ready', 'stay'] }, { change: { a: { feed } }, backoff: { ...QUICK, healthyMs: 0 } });
  await until(() => now('a')?.state === 'ready');
  fails = true;
  process.kill(now('a')?.pid as number, 'SIGKILL');
  await until(() => now('a')?.state === 'failed');
  expect(log).toContain('[init] a: no room\n[init] a ended (not started), starting it again in 4 ms\n');
  fails = false;
  await until(() => now('a')?.state === 'ready');
});

test('stop ends every daemon, lets each say its last word, and none comes back', async () => {
  supervise({ a: ['orderly', 'ready', 'stay'], b: ['crash'], c: ['stay'] });
  await until(() => now('a')?.state === 'ready' && now('b')?.state === 'failed');
  const pids = ['a', 'c'].map((name) => now(name)?.pid as number);
  await supervisor?.stop();
  expect(log).toContain('[a] bye\n');
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  expect(Object.values(pictures.at(-1) ?? {}).map(({ state, pid }) => [state, pid])).toEqual([
    ['stopped', null],
    ['stopped', null],
    ['stopped', null],
  ]);
});

test('stop ends a process that was replaced and has not ended yet, too', async () => {
  const feed: Feed = { ...byMessage, next: () => false };
  supervise({ a: ['stubborn', 'ready', 'stay'] }, { change: { a: { feed } }, graceMs: 50 });
  await until(() => now('a')?.state === 'ready');
  const old = now('a')?.pid as number;
  await supervisor?.apply({ a: 'second' });
  const pids = [old, now('a')?.pid as number];
  expect(() => process.kill(old, 0)).not.toThrow();
  await supervisor?.stop();
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('a daemon that was being prepared when all were stopped is not started any more', async () => {
  const gate = Promise.withResolvers<void>();
  const feed: Feed = { ...byMessage, prepare: () => gate.promise };
  supervise({ a: ['speak', 'stay'] }, { change: { a: { feed } } });
  await supervisor?.stop();
  gate.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  expect(now('a')).toMatchObject({ state: 'stopped', pid: null });
});

test('a daemon that ignores SIGTERM is killed once the grace is over', async () => {
  supervise({ a: ['stubborn', 'ready', 'stay'] }, { graceMs: 50 });
  await until(() => now('a')?.state === 'ready');
  const pid = now('a')?.pid as number;
  await supervisor?.stop();
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  expect(log).toContain('[init] a did not end in 50 ms, killing it\n');
});

test('a signal is passed on to every daemon', async () => {
  supervise({ a: ['reload', 'ready', 'stay'], b: ['reload', 'ready', 'stay'] });
  await until(() => now('a')?.state === 'ready' && now('b')?.state === 'ready');
  supervisor?.signal('SIGHUP');
  await until(() => log.includes('[a] reloaded\n') && log.includes('[b] reloaded\n'));
  expect(now('a')).toMatchObject({ state: 'ready', restarts: 0 });
});

describe('another configuration', () => {
  test('goes to the daemons whose part has changed, in the process they have', async () => {
    supervise({ a: ['ready', 'tell', 'stay'], b: ['ready', 'tell', 'stay'] });
    await until(() => now('a')?.state === 'ready' && now('b')?.state === 'ready');
    const pids = [now('a')?.pid, now('b')?.pid];
    await supervisor?.apply({ a: 'second', b: 'first' });
    await supervisor?.apply({ a: 'second', b: 'first' });
    await until(() => log.split('config').length === 4);
    expect(log.match(/config "second"/g)).toHaveLength(1);
    expect([now('a')?.pid, now('b')?.pid]).toEqual(pids);
    expect(statesOf('a')).toEqual(['starting', 'ready']);
  });

  test('is what a daemon gets that is started again', async () => {
    supervise({ a: ['tell', 'ready', 'stay'] });
    await supervisor?.apply({ a: 'second' });
    process.kill(now('a')?.pid as number, 'SIGKILL');
    await until(() => now('a')?.state === 'ready' && now('a')?.restarts === 1);
    await until(() => log.split('config "second"').length === 3);
  });

  test('is waited for until every daemon has it, one that was dead at the time too', async () => {
    supervise({ a: ['ready', 'stay'] }, { backoff: { ...QUICK, firstMs: 100 } });
    await until(() => now('a')?.state === 'ready');
    process.kill(now('a')?.pid as number, 'SIGKILL');
    await until(() => now('a')?.state === 'backoff');
    await supervisor?.apply({ a: 'second' });
    expect(now('a')).toMatchObject({ state: 'ready', restarts: 1 });
  });

  test('that only a new process can take gets one, while the old one ends what it does', async () => {
    const prepared: unknown[] = [];
    const feed: Feed = {
      prepare: async (config) => void prepared.push(config),
      first: byMessage.first,
      next: () => false,
    };
    supervise({ a: ['orderly', 'ready', 'stay'] }, { change: { a: { feed } } });
    await until(() => now('a')?.state === 'ready');
    const pid = now('a')?.pid;
    await supervisor?.apply({ a: 'second' });
    expect(now('a')).toMatchObject({ state: 'ready', restarts: 0 });
    expect(now('a')?.pid).not.toBe(pid);
    expect(prepared).toEqual(['first', 'second']);
    await until(() => log.includes('[a] bye\n'));
  });

  test('that the running process refuses after a while gets a new one', async () => {
    const feed: Feed = {
      ...byMessage,
      next: (_child, _config, _taken, refused) => {
        setImmediate(refused);
        return true;
      },
    };
    supervise({ a: ['ready', 'tell', 'stay'] }, { change: { a: { feed } } });
    await until(() => now('a')?.state === 'ready');
    const pid = now('a')?.pid;
    await supervisor?.apply({ a: 'second' });
    expect(now('a')).toMatchObject({ state: 'ready', restarts: 0 });
    expect(now('a')?.pid).not.toBe(pid);
    await until(() => log.includes('[a] config "second"\n'));
  });

  test('that comes in quick succession is answered for each, the newest in force at the end', async () => {
    supervise({ a: ['ready', 'tell', 'stay'] });
    const applied = [1, 2, 3, 4, 5].map((config) => supervisor?.apply({ a: config }));
    await Promise.all(applied);
    await until(() => log.includes('config 5\n'));
    const told = [...log.matchAll(/config (\S+)/g)].map(([, config]) => config);
    expect(told).toEqual(['"first"', '1', '2', '3', '4', '5']);
    expect(now('a')).toMatchObject({ state: 'ready', restarts: 0 });
  });

  test('equal to the one before is none, however deep; a change deep inside is one', async () => {
    const config = (last: number) => ({ routes: [{ id: 'x', matches: [{ methods: ['GET'], last }] }] });
    supervise({ a: ['ready', 'tell', 'stay'] }, { config: config(1) });
    await supervisor?.apply({ a: config(1) });
    await supervisor?.apply({ a: config(2) });
    await until(() => log.split('config {').length === 3);
    expect(log).toContain('"last":2');
  });

  test('that comes in while a daemon waits to be started again is the one that it gets', async () => {
    supervise({ a: ['tell', 'ready', 'stay'] }, { backoff: { ...QUICK, firstMs: 100 } });
    await until(() => now('a')?.state === 'ready' && log.includes('"first"'));
    process.kill(now('a')?.pid as number, 'SIGKILL');
    await until(() => now('a')?.state === 'backoff');
    log = '';
    await Promise.all([supervisor?.apply({ a: 'second' }), supervisor?.apply({ a: 'third' })]);
    await until(() => log.includes('config'));
    expect(log).not.toMatch(/"first"|"second"/);
  });

  test('that comes in while the first is being prepared is the one that is prepared and given', async () => {
    const gate = Promise.withResolvers<void>();
    const prepared: unknown[] = [];
    const feed: Feed = {
      ...byMessage,
      prepare: async (config) => {
        prepared.push(config);
        await gate.promise;
      },
    };
    supervise({ a: ['ready', 'tell', 'stay'] }, { change: { a: { feed } } });
    const applied = supervisor?.apply({ a: 'second' });
    gate.resolve();
    await applied;
    expect(prepared).toEqual(['first', 'second']);
    await until(() => log.includes('config'));
    expect(log).not.toContain('"first"');
  });
});

describe('a daemon that comes after another', () => {
  const after = { b: { after: ['a'] } };

  test('is started once that one is ready', async () => {
    supervise({ a: ['ready', 'stay'], b: ['ready', 'stay'] }, { change: after, config: undefined });
    expect(now('b')).toMatchObject({ state: 'starting', pid: null });
    await supervisor?.apply({ a: 1, b: 1 });
    expect(now('b')?.state).toBe('ready');
    const started = pictures.findIndex(({ b }) => b?.pid !== null);
    expect(pictures[started]?.['a']?.state).toBe('ready');
  });

  test('is started all the same once that one has failed', async () => {
    supervise({ a: ['crash'], b: ['ready', 'stay'] }, { change: after });
    await until(() => now('b')?.state === 'ready');
    expect(statesOf('a')).toContain('failed');
  });
});
