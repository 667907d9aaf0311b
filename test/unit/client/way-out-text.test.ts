import { expect, test } from 'vitest';
import { conclude } from '../../../src/client/conclude.ts';
import type { Output } from '../../../src/client/output.ts';
import { statusText } from '../../../src/client/render/status-text.ts';
import { detailsMarkdown } from '../../../src/core/launch-view.ts';
import { STARTED, status } from './status-fixture.ts';

const wayOut = { host: 'api.example.com', why: 'cannot resolve api.example.com: there is *no* such name' };
const nowhere = status([], { phase: 'ready', wayOut });
const well = status([], { phase: 'ready' });
const LINE = `the way out leads nowhere: ${wayOut.why} (bottle doctor tries it)`;

/** What `up` says on stderr, and prints. */
function ended(document: typeof well, json: boolean): { said: string[]; printed: unknown[] } {
  const said: string[] = [];
  const printed: unknown[] = [];
  const output = {
    flags: { json },
    say: (line: string) => said.push(line),
    result: (...what: unknown[]) => printed.push(what),
  };
  conclude({ kind: 'ready', status: document }, 'ready', output as unknown as Output, Infinity);
  return { said, printed };
}

test('up says it in one line before the result, and with --json in the document alone', () => {
  expect(ended(nowhere, false)).toEqual({ said: [`note: ${LINE}`], printed: [[nowhere, 'demo is ready']] });
  expect(ended(nowhere, true)).toEqual({ said: [], printed: [[nowhere, 'demo is ready']] });
  expect(ended(well, false).said).toEqual([]);
});

test('status and the details in the UI show it, as text that is no markup', () => {
  expect(statusText(nowhere, { now: STARTED })).toContain(LINE);
  expect(statusText(well, { now: STARTED })).not.toContain('nowhere');
  expect(detailsMarkdown(nowhere)).toContain(
    '**The way out leads nowhere**: cannot resolve api.example.com: there is \\*no\\* such name',
  );
  expect(detailsMarkdown(well)).not.toContain('nowhere');
});
