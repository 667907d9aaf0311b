import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { machineName } from '../../../src/core/names.ts';
import { endRelay, ensureRelay, makeLink, relays } from '../../../src/host/machine/smolvm/relay.ts';

let state: string;
beforeEach(() => {
  state = mkdtempSync(path.join(os.tmpdir(), 'bottle-relay-'));
});
afterEach(async () => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  await endRelay({ state }, machineName('vm'));
  rmSync(state, { recursive: true, force: true });
});

test('a process that never listens on its sockets is ended when it is given up', async () => {
  // It reads Docker's configuration before it listens, and from a pipe that nobody writes to it reads for ever.
  execFileSync('mkfifo', [path.join(state, 'config.json')]);
  vi.stubEnv('DOCKER_CONFIG', state);
  vi.stubEnv('DOCKER_HOST', '');
  vi.stubEnv('DOCKER_CONTEXT', '');
  makeLink({ state }, machineName('vm'), '10.9.8.2');
  vi.useFakeTimers({ toFake: ['Date'] });
  const starting = expect(ensureRelay({ state }, 'vm')).rejects.toMatchObject({ code: 'MACHINE_START_FAILED' });
  await expect.poll(() => relays({ state }, machineName('vm'))).toHaveLength(1);
  vi.advanceTimersByTime(60_000);
  await starting;
  expect(await relays({ state }, machineName('vm'))).toEqual([]);
});
