import { expect, test } from 'vitest';
import { COLOURED } from '../../../src/client/render/colours.ts';
import { renderTree } from '../../../src/client/render/tree.ts';
import { held, launching, STARTED, status, step, undoHeld } from './status-fixture.ts';

const now = STARTED + 1300;

test('a launch shows each step with its mark, time, and what its last attempt failed with', () => {
  expect(renderTree(launching, { now, spinner: '⠋' })).toMatchInlineSnapshot(`
    "demo  launching  1.3 s  researcher on mac-1
    ├─ ✓ prepare            12 ms
    ├─ ✓ network            84 ms
    ├─ ⠋ bundle             1.2 s  attempt 2
    │      error[DOCKER_ERROR]: the Engine is busy
    ├─ ✓ machine.create     1.2 s
    └─ · check"
  `);
});

test('a held step says so, with error and hint beneath it', () => {
  expect(renderTree(held, { now })).toMatchInlineSnapshot(`
    "demo  held  researcher on mac-1
    ├─ ✓ network              84 ms
    ├─ » provision.prompt      3 ms  skipped
    ├─ ■ provision.skills     46 ms  held
    │      error[SKILL_NOT_FOUND]: there is no skill "notes": looked at /home/me/.b…
    │      hint: put it there, then retry
    └─ · check"
  `);
});

test('a held undo is told apart from a held step', () => {
  expect(renderTree(undoHeld, { now })).toMatchInlineSnapshot(`
    "demo  held  researcher on mac-1
    ├─ ■ network     84 ms  undo held
    │      error[DOCKER_ERROR]: has active endpoints
    ├─ ○ bundle     900 ms  undone
    └─ ○ check              undone"
  `);
});

test('a ready bottle shows how long it took, not how long ago that was', () => {
  const readyAt = new Date(STARTED + 2000).toISOString();
  const text = renderTree(status([step('check', 'done', { durationMs: 301 })], { phase: 'ready', readyAt }), {
    now: now + 999_999,
  });
  expect(text).toMatchInlineSnapshot(`
    "demo  ready  2.0 s  researcher on mac-1
    └─ ✓ check    301 ms"
  `);
});

test.each([80, 40, 20, 10, 3, 1, 0])('no line is wider than %i columns', (width) => {
  for (const document of [launching, held, undoHeld]) {
    for (const line of renderTree(document, { now, width }).split('\n')) {
      expect([...line].length, line).toBeLessThanOrEqual(width);
    }
  }
});

test('a narrow terminal cuts, and shows that it did', () => {
  expect(renderTree(held, { now, width: 30 })).toMatchInlineSnapshot(`
    "demo  held  researcher on mac…
    ├─ ✓ network              84 …
    ├─ » provision.prompt      3 …
    ├─ ■ provision.skills     46 …
    │      error[SKILL_NOT_FOUND]…
    │      hint: put it there, th…
    └─ · check"
  `);
});

test('colours change nothing but colours', () => {
  const coloured = renderTree(held, { now, colours: COLOURED });
  expect(coloured).toContain('\u001b[31m■\u001b[39m');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
  expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(renderTree(held, { now }));
});

test('a step that was started again counts from when that was seen', () => {
  const again = status([step('bundle', 'running', { attempts: 2 })]);
  expect(renderTree(again, { now, runningSince: () => now - 30 })).toContain(' 30 ms  attempt 2');
});

test('what a workflow or an agent wrote cannot reach the terminal as control', () => {
  const evil = 'a\u001b[2Jb\u0007\u202ec\nd';
  const document = status([step('bundle', 'held', { error: { code: evil, message: evil, hint: evil } })], {
    id: evil,
    agent: evil,
    host: evil,
  });
  const text = renderTree(document, { now });
  expect(text).toContain('error[abcd]: abcd');
  expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});
