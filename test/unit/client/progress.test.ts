import { expect, test } from 'vitest';
import type { CareEvent } from '../../../src/client/care.ts';
import { createOutput, type Output } from '../../../src/client/output.ts';
import { plainProgress, progressFor } from '../../../src/client/render/progress.ts';
import { Troubles } from '../../../src/client/render/troubles.ts';
import { launching } from './status-fixture.ts';

const gone: CareEvent = { kind: 'silent', who: 'worker', text: 'the worker is gone; starting a new one' };
const back: CareEvent = { kind: 'recovered', who: 'worker', text: 'started the worker' };

/** An output whose notes are kept. */
function noted(over: Partial<Output> = {}): { lines: string[]; output: Output } {
  const lines: string[] = [];
  const output = createOutput({ json: false, quiet: false, debug: false });
  return { lines, output: { ...output, note: (line) => void lines.push(line), ...over } };
}

test('what several launches wait for is said once, and that it is over once', () => {
  const { lines, output } = noted();
  const troubles = new Troubles();
  const all = ['a', 'b', 'c'].map((id) => plainProgress(output, { prefix: `${id}  `, troubles }));
  for (const event of [gone, back]) for (const each of all) each.show(event);
  expect(lines).toEqual([gone.text, back.text]);
});

test('a trouble that becomes another one is told, and the same again is not', () => {
  const troubles = new Troubles();
  const failed: CareEvent = { ...gone, text: 'error[WORKER_FAILED]: it ended; trying again' };
  expect([gone, gone, failed, failed, back, back].map((event) => troubles.tell(event))).toEqual([
    gone.text,
    undefined,
    failed.text,
    undefined,
    back.text,
    undefined,
  ]);
});

test('with --json what keeps the command waiting is told all the same', async () => {
  const { lines, output } = noted({ flags: { json: true, quiet: false, debug: false } });
  const progress = await progressFor(output, false);
  progress.show({ kind: 'status', status: launching, closed: false });
  progress.show(gone);
  expect(lines).toEqual([gone.text]);
});

test('a terminal of 0 columns and 0 rows gets plain lines', async () => {
  const stderr = { isTTY: true, columns: 0, rows: 0 } as NodeJS.WriteStream;
  const { lines, output } = noted({ stderr });
  const progress = await progressFor(output, false);
  progress.show({ kind: 'status', status: launching, closed: false });
  progress.done();
  expect(lines.length).toBeGreaterThan(0);
});
