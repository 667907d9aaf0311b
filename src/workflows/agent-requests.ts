/** What the agent asks, inside a BottleLaunch: the operator's answer comes in, the bundle learns of it, a grant ends. */
import type { UpdateDefinition } from '@temporalio/common';
import { ApplicationFailure, condition, patched, setHandler } from '@temporalio/workflow';
import type { DeliverySnapshot } from '../core/carried-launch.ts';
import type { GraphRunner, StepOutcome } from '../core/graph-runner.ts';
import type { Observation } from '../core/observation.ts';
import type { BookChanges, RequestBook, Verdict } from '../core/request-book.ts';
import { parseVerdict } from '../core/verdict.ts';
import { decideUpdate, FAILURE } from './messages.ts';

/** Runs the `bundle` step again whenever it has not yet been given the newest answers; it hands on just what changed. */
export class AnswerDelivery {
  readonly #observed: Observation;
  #given: number;
  /** The versions of the book that the host knows, and that the last run of `bundle` tells it. */
  #known: number;
  #told = 0;
  /** The run of `bundle` that is under way, or was last, has nothing new for the daemons but answers. */
  onlyAnswers = false;

  /** @param from what an earlier one had handed on */
  constructor(observed: Observation, from?: DeliverySnapshot) {
    this.#observed = observed;
    this.#given = from?.given ?? 0;
    this.#known = from?.known ?? 0;
  }

  snapshot(): DeliverySnapshot {
    return { given: this.#given, known: this.#known };
  }

  /** What is new of the requests, for the `bundle` step that is about to run. */
  readonly take = (): BookChanges => {
    const { book } = this.#observed;
    this.#given = book.answers;
    const changes = book.changes(this.#known);
    this.#told = changes.version;
    return changes;
  };

  /** That run is done. */
  taken(): void {
    this.#known = this.#told;
    this.#observed.book.told(this.#known);
  }

  /**
   * Whether that run has failed because the host has lost what it knew, so that another is told everything. An older history
   * may have such a failure for another reason, and went on otherwise.
   */
  mustTellAll(outcome: StepOutcome): boolean {
    const lost = outcome.ok === false && outcome.error.code === 'STATE_MISSING' && this.#known > 0;
    if (!lost || !patched('tells-requests-anew')) return false;
    this.#known = 0;
    return true;
  }

  async deliver(runner: GraphRunner): Promise<void> {
    for (;;) {
      await condition(() => this.#given !== this.#observed.book.answers && runner.isDone('bundle'));
      this.onlyAnswers = true;
      runner.renew(['bundle']);
    }
  }
}

/** Takes every grant back when its time is over. */
export async function endGrants(book: RequestBook, publish: () => void): Promise<void> {
  for (;;) {
    const end = book.nextEnd();
    if (end === undefined) await condition(() => book.nextEnd() !== undefined);
    else {
      await condition(() => book.nextEnd() !== end, Math.max(1, end - Date.now()));
      if (book.expire(Date.now())) publish();
    }
  }
}

/** The `decide` update. */
export function handleVerdict(book: RequestBook, publish: () => void): void {
  setHandler<string, unknown[], UpdateDefinition<string, unknown[]>>(
    decideUpdate,
    (...args) => {
      const verdict = parseVerdict(args) as Verdict;
      const { state } = book.decide(verdict, Date.now());
      publish();
      return `${verdict.request}: ${state}`;
    },
    {
      description:
        'Answer a request (argument: {"request": ID, "decision": "approve" or "deny", "note": TEXT, "for": "10m"})',
      validator: (...args) => {
        const verdict = parseVerdict(args);
        if (typeof verdict === 'string') throw ApplicationFailure.nonRetryable(verdict, FAILURE.invalidInput);
        const refusal = book.refusal(verdict);
        if (refusal !== undefined) throw ApplicationFailure.nonRetryable(refusal, FAILURE.noSuchRequest);
      },
    },
  );
}
