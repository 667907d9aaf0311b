/** The end of a wait: what is told of how the launch came to rest, and the exit code for it. */
import { exitCodeFor } from '../core/errors.ts';
import { unsearchedText } from '../core/reach.ts';
import type { StatusDocument } from '../core/status.ts';
import type { Output } from './output.ts';
import { heldLines } from './render/held.ts';
import { wayOutLine } from './render/status-text.ts';
import { clean, duration } from './render/text.ts';
import { errorLines, reportError, viewOf } from './report-error.ts';
import type { Goal, Settled } from './settle.ts';

const HELD = 3;
const FAILED = 1;

/** Exit code: 0 when the goal was reached, 3 when it is held, 1 when it ended otherwise. */
export function exitCodeOf({ kind }: Settled, goal: Goal): number {
  if (kind === 'held') return HELD;
  return kind === (goal === 'ready' ? 'ready' : 'closed') ? 0 : FAILED;
}

/**
 * One line of result for people; held and failed launches are told on stderr by {@link tellTrouble}.
 * @param since when the wait began, in milliseconds since the epoch: a bottle that was ready before then is just that
 */
export function resultLine({ kind, status }: Settled, goal: Goal, since = 0): string {
  const id = clean(status.id);
  if (kind === 'ready') return `${id} is ready${tookText(status, since)}${endText(status)}`;
  return kind === 'closed' && goal === 'gone' ? `${id} is gone` : '';
}

/** Tells people on stderr why a goal was not reached; nothing with --json, where the document has it all. */
export function tellTrouble(settled: Settled, goal: Goal, output: Output): void {
  if (output.flags.json) return;
  const { kind, status } = settled;
  if (kind === 'held') for (const line of heldLines(status, output.errColours)) output.say(line);
  if (kind !== 'closed' || goal === 'gone') return;
  const how = status.phase === 'failed' ? 'was aborted or failed' : 'was stopped';
  const lines = errorLines({
    code: 'BOTTLE_FAILED',
    message: `${status.id} ${how} before it was ready`,
    hint: status.uiUrl === null ? `bottle status ${status.id}` : `see ${status.uiUrl}`,
  });
  for (const line of lines) output.say(line);
}

/** Result and trouble of one bottle, and its exit code. */
export function conclude(settled: Settled, goal: Goal, output: Output, since?: number): number {
  tellTrouble(settled, goal, output);
  const { kind, status } = settled;
  if (kind === 'ready' && status.wayOut !== undefined && !output.flags.json) {
    output.say(`note: ${wayOutLine(status.wayOut)}`);
  }
  if (kind === 'ready' && status.unsearched !== undefined && !output.flags.json)
    output.say(`note: ${unsearchedText(status.unsearched)}`);
  output.result(settled.status, resultLine(settled, goal, since));
  return exitCodeOf(settled, goal);
}

/** What became of one of several bottles: it settled, or it is told of as it is, or why it could not be. */
export interface Told {
  id: string;
  settled?: Settled;
  as?: { document: unknown; line: string };
  error?: unknown;
}

/** Every bottle is told of; the worst exit code is the command's: unreachable, unknown, held, failed. */
export function concludeAll(outcomes: readonly Told[], goal: Goal, output: Output): number {
  const documents: unknown[] = [];
  let worst = 0;
  const tell = (document: unknown, line: string): void => {
    documents.push(document);
    if (!output.flags.json) output.result(undefined, line);
  };
  for (const { id, settled, as, error } of outcomes) {
    if (as !== undefined) tell(as.document, as.line);
    else if (settled !== undefined) {
      tellTrouble(settled, goal, output);
      tell(settled.status, resultLine(settled, goal));
      worst = Math.max(worst, exitCodeOf(settled, goal));
    } else {
      const view = viewOf(error);
      documents.push({ id, error: view });
      worst = Math.max(worst, exitCodeFor(view.code));
      if (!output.flags.json || outcomes.length === 1) reportError(error, output);
    }
  }
  const [only] = outcomes;
  // One bottle that failed is an error document like any other command's.
  const told = outcomes.length === 1 && only?.error !== undefined;
  if (output.flags.json && !told) output.result(documents, '');
  return worst;
}

function tookText({ readyAt, startedAt }: StatusDocument, since: number): string {
  return readyAt === null || Date.parse(readyAt) < since
    ? ''
    : ` after ${duration(Date.parse(readyAt) - Date.parse(startedAt))}`;
}

/** Work in it goes with it, so its end should surprise nobody. */
const endText = ({ limits }: StatusDocument): string =>
  limits?.endsAt == null ? '' : `; it is stopped at ${limits.endsAt} (limits.lifetime)`;
