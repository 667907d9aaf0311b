/** Where the time of a launch goes, as its history tells: what ran when, and the longest chain of it up to ready. */
import type { HistoryEvent } from '../support/events.ts';

/** Milliseconds since the launch was asked for. */
export interface Span {
  /** A step, a compensation, or {@link WORKFLOW}. */
  name: string;
  /** It was asked for: by the workflow, or, for the workflow itself, by whatever happened. */
  asked: number;
  /** Somebody has taken it up. */
  began: number;
  ended: number;
}

/** Of the chain: each link begins where the one before it ends. `work` is a step's, all else is the way between them. */
export interface Link {
  name: string;
  kind: 'work' | 'to the worker' | 'to the workflow' | 'workflow';
  from: number;
  until: number;
}

export interface LaunchPath {
  spans: Span[];
  chain: Link[];
  /** When the chain ends. */
  readyMs: number;
}

/** The name of the workflow's own turns among the spans. */
export const WORKFLOW = 'workflow';

/**
 * @param events of a launch, oldest first
 * @param phase the chain leads to the workflow's turn that showed this one
 * @throws Error when the launch never came to it
 */
export function launchPath(events: readonly HistoryEvent[], phase = 'ready'): LaunchPath {
  const zero = timeOf(events[0]);
  const at = (id: unknown): number => timeOf(events[Number(id) - 1]) - zero;
  const end = events.find((event) => shows(event, phase));
  const task = end?.upsertWorkflowSearchAttributesEventAttributes?.workflowTaskCompletedEventId;
  if (task === undefined) throw new Error(`the launch never came to ${phase}`);

  const spans: Span[] = [];
  /** By the span: the workflow's turn that asked for it, as the id of its last event. */
  const askedBy = new Map<Span, number>();
  /** By the id of its last event. */
  const turns = new Map<number, Span>();
  for (const event of events) {
    const turn = event.workflowTaskCompletedEventAttributes;
    if (turn != null) {
      const span = spanOf(WORKFLOW, at(turn.scheduledEventId), at(turn.startedEventId), at(event.eventId));
      turns.set(Number(event.eventId), span);
      spans.push(span);
    }
    const done = event.activityTaskCompletedEventAttributes;
    if (done != null) {
      const scheduled = events[Number(done.scheduledEventId) - 1]?.activityTaskScheduledEventAttributes;
      const name = scheduled?.activityId ?? '';
      const span = spanOf(name, at(done.scheduledEventId), at(done.startedEventId), at(event.eventId));
      askedBy.set(span, Number(scheduled?.workflowTaskCompletedEventId));
      spans.push(span);
    }
  }
  const chain: Link[] = [];
  for (let turn = turns.get(Number(task)); turn !== undefined; ) {
    const { began, ended } = turn;
    chain.unshift({ name: WORKFLOW, kind: 'workflow', from: began, until: ended });
    // What ended last before the turn began is what it had waited for; an end while it ran is the next one's.
    const cause = spans
      .filter((span) => span.name !== WORKFLOW && span.ended <= began)
      .reduce<Span | undefined>(
        (last, span) => (last === undefined || span.ended > last.ended ? span : last),
        undefined,
      );
    chain.unshift({ name: WORKFLOW, kind: 'to the workflow', from: cause?.ended ?? 0, until: began });
    if (cause === undefined) break;
    chain.unshift({ name: cause.name, kind: 'work', from: cause.began, until: cause.ended });
    chain.unshift({ name: cause.name, kind: 'to the worker', from: cause.asked, until: cause.began });
    turn = turns.get(askedBy.get(cause) ?? 0);
  }
  return { spans, chain: chain.filter(({ from, until }) => until > from), readyMs: at(task) };
}

const spanOf = (name: string, asked: number, began: number, ended: number): Span => ({ name, asked, began, ended });

function shows(event: HistoryEvent, phase: string): boolean {
  const fields = event.upsertWorkflowSearchAttributesEventAttributes?.searchAttributes?.indexedFields;
  const data = fields?.['BottlePhase']?.data;
  return data != null && Buffer.from(data).toString() === JSON.stringify(phase);
}

const timeOf = (event: HistoryEvent | undefined): number =>
  Number(event?.eventTime?.seconds?.toString() ?? 0) * 1000 + (event?.eventTime?.nanos ?? 0) / 1e6;

/** Milliseconds of the chain, by kind. */
export function sums(chain: readonly Link[]): Record<Link['kind'], number> {
  const all = { work: 0, 'to the worker': 0, 'to the workflow': 0, workflow: 0 };
  for (const { kind, from, until } of chain) all[kind] += until - from;
  return all;
}
