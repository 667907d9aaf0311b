import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Keeper, type Who } from '../../../src/client/keeper.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { markStopped, wereStopped } from '../../../src/host/stopped-mark.ts';
import { temporalTarget } from '../../../src/host/temporal-target.ts';
import { freePort } from '../../support/free-port.ts';

let settings: Settings;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  const state = mkdtempSync(path.join(os.tmpdir(), 'bottle-keeper-'));
  env = { BOTTLE_STATE: state, BOTTLE_HOST: 'h', BOTTLE_PORT: String(await freePort()) };
  settings = readSettings(env);
});
afterEach(() => rmSync(settings.state, { recursive: true, force: true }));

test.each<Who>(['temporal', 'worker'])(
  'a %s that a person stops between the look and the cure stays stopped',
  async (who) => {
    const trouble = await new Keeper(settings, await temporalTarget(settings, env)).look(who);
    markStopped(settings);
    await expect(trouble?.cure?.()).rejects.toMatchObject({ code: 'WORKER_UNREACHABLE' });
    expect(wereStopped(settings)).toBe(true);
  },
);
