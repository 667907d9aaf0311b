import { expect, test } from 'vitest';
import { PLAIN } from '../../../src/client/render/colours.ts';
import { heldLines } from '../../../src/client/render/held.ts';
import { rowsText } from '../../../src/client/render/rows-text.ts';
import { statusText } from '../../../src/client/render/status-text.ts';
import type { StatusDocument } from '../../../src/core/status.ts';
import { held, missingSkill, STARTED, status, step, undoHeld } from './status-fixture.ts';

test('a hold tells step, error, hint, the commands that decide it, and where to look', () => {
  expect(heldLines(held, PLAIN)).toEqual([
    'demo is held at provision.skills',
    'error[SKILL_NOT_FOUND]: there is no skill "notes": looked at /home/me/.bottle/skills/notes',
    'hint: put it there, then retry',
    'decide with',
    '  bottle retry demo provision.skills',
    '  bottle skip demo provision.skills',
    '  bottle abort demo',
    'Temporal UI: http://127.0.0.1:8233/namespaces/default/workflows/demo/run-1/history',
  ]);
});

test('a held undo can be retried or skipped, but there is nothing left to abort', () => {
  expect(heldLines(undoHeld, PLAIN)).toEqual([
    'demo is held at network (its undo failed)',
    'error[DOCKER_ERROR]: has active endpoints',
    'decide with',
    '  bottle retry demo network',
    '  bottle skip demo network',
    'Temporal UI: http://127.0.0.1:8233/namespaces/default/workflows/demo/run-1/history',
  ]);
});

test('a step whose result later steps take is not offered to be skipped', () => {
  const lines = heldLines(status([step('network', 'held', { error: missingSkill })], { phase: 'held' }), PLAIN);
  expect(lines).toContain('  bottle retry demo network');
  expect(lines.join('\n')).not.toContain('skip');
});

test('nothing held, nothing said', () => {
  expect(heldLines(status([step('check', 'done')]), PLAIN)).toEqual([]);
});

test('a status reads as facts, a table of steps, errors and commands', () => {
  const document = {
    ...held,
    network: { name: 'bottle-demo', subnet: '10.214.3.16/28', gateway: '10.214.3.17', bundleIp: '10.214.3.18' },
    bundle: {
      container: 'bottle-demo-bundle',
      daemons: { pipelock: 'ready' },
      scanner: 'pipelock' as const,
      refused: [],
    },
    machine: { name: 'bottle-demo', state: 'running' as const },
  };
  expect(statusText(document, { now: STARTED + 65_000 })).toMatchInlineSnapshot(`
    "demo  held
    agent        researcher on mac-1 (docker)
    started      2026-11-23T10:00:00.000Z, 1 min 5 s ago
    network      bottle-demo  10.214.3.16/28  bundle 10.214.3.18
    bundle       bottle-demo-bundle  pipelock ready
    machine      bottle-demo  running
    Temporal UI  http://127.0.0.1:8233/namespaces/default/workflows/demo/run-1/history

    STEP              STATE    ATTEMPTS  TIME
    network           done     1         84 ms
    provision.prompt  skipped  1         3 ms
    provision.skills  held     1         46 ms
    check             pending  0

    provision.skills:
    error[SKILL_NOT_FOUND]: there is no skill "notes": looked at /home/me/.bottle/skills/notes
    hint: put it there, then retry

    decide with
      bottle retry demo provision.skills
      bottle skip demo provision.skills
      bottle abort demo"
  `);
});

test('a list of bottles is a table, and says where they are held', () => {
  const row = { agent: 'demo', host: 'mac-1', startedAt: new Date(STARTED).toISOString() };
  const rows = [
    { ...row, id: 'demo-2', phase: 'held' as const, driver: null, heldSteps: ['provision.skills', 'check'] },
    { ...row, id: 'demo', phase: 'ready' as const, driver: 'docker' as const, heldSteps: [] },
    {
      ...row,
      id: 'old',
      phase: 'stopped' as const,
      driver: 'docker' as const,
      heldSteps: [],
      stoppedBy: 'idle' as const,
    },
  ];
  expect(rowsText(rows, STARTED + 2000)).toMatchInlineSnapshot(`
    "BOTTLE  AGENT  PHASE           HOST   DRIVER  STARTED    HELD AT
    demo-2  demo   held            mac-1  -       2.0 s ago  provision.skills, check
    demo    demo   ready           mac-1  docker  2.0 s ago
    old     demo   stopped (idle)  mac-1  docker  2.0 s ago"
  `);
});

test('a status says when the bottle ends by itself, and by what it did', () => {
  const ready = { readyAt: new Date(STARTED + 1000).toISOString(), phase: 'ready' as const };
  const limits = { lifetimeMs: 7_200_000, idleMs: 20_000, endsAt: new Date(STARTED + 7_201_000).toISOString() };
  const lines = (over: Partial<StatusDocument>): string[] =>
    statusText(status([], over), { now: STARTED + 61_000 }).split('\n');
  expect(lines({ ...ready, limits })).toContain(
    'limits       stopped when ready for 2 h 0 min, at 2026-11-23T12:00:01.000Z (in 1 h 59 min); stopped when nothing has run in it for 20.0 s',
  );
  expect(lines(ready).join('\n')).not.toContain('limits');
  expect(lines({ phase: 'stopped', stoppedBy: 'lifetime' })[0]).toBe('demo  stopped (lifetime)');
});
