/** Reads the operator's answer to a request, in the forms that people and programs send it in. */
import { parseDuration } from './duration.ts';
import type { Verdict } from './request-book.ts';

const LONGEST_NOTE = 2000;
const FIELDS = ['request', 'decision', 'note', 'for', 'private'];

/**
 * @param args one object `{request, decision: "approve" | "deny", note?, for?, private?}`, or the same in that order
 * @returns the verdict, or one line that says which field is wrong
 */
export function parseVerdict(args: readonly unknown[]): Verdict | string {
  const [first] = args;
  if (typeof first === 'object' && first !== null && !Array.isArray(first)) {
    if (args.length > 1) return `decide: expected one JSON object, got ${args.length} arguments`;
    const unknown = Object.keys(first).find((key) => !FIELDS.includes(key));
    if (unknown !== undefined) return `${unknown.slice(0, 60)}: unknown field (known: ${FIELDS.join(', ')})`;
    return verdictOf(first as Record<string, unknown>);
  }
  if (args.length > FIELDS.length) return `decide: expected at most ${FIELDS.length} arguments, got ${args.length}`;
  return verdictOf(Object.fromEntries(FIELDS.map((field, at) => [field, args[at]])));
}

function verdictOf({
  request,
  decision,
  note,
  for: lasting,
  private: mayBePrivate,
}: Record<string, unknown>): Verdict | string {
  if (typeof request !== 'string' || request === '') return 'request: expected the id of a request';
  if (decision !== 'approve' && decision !== 'deny') return 'decision: expected "approve" or "deny"';
  if (note !== undefined && note !== null && typeof note !== 'string') return 'note: expected text';
  if (typeof note === 'string' && note.length > LONGEST_NOTE)
    return `note: expected at most ${LONGEST_NOTE} characters`;
  const forMs = lasting === undefined || lasting === null ? null : parseDuration(String(lasting));
  if (forMs === undefined) return 'for: expected a time such as 30s, 10m, 2h or 1d';
  if (forMs !== null && decision === 'deny') return 'for: only what is approved lasts for a time';
  if (typeof (mayBePrivate ?? false) !== 'boolean') return 'private: expected true or false';
  return { request, approve: decision === 'approve', note: note || null, forMs, private: mayBePrivate === true };
}
