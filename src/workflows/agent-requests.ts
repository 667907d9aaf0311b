/** What the agent asks, inside a BottleLaunch: the operator's answer comes in, the bundle learns of it, a grant ends. */
import type { UpdateDefinition } from '@temporalio/common';
import { ApplicationFailure, condition, setHandler } from '@temporalio/workflow';
import type { GraphRunner } from '../core/graph-runner.ts';
import type { Observation } from '../core/observation.ts';
import type { RequestBook, Verdict } from '../core/request-book.ts';
import type { RequestView } from '../core/requests.ts';
import { parseVerdict } from '../core/verdict.ts';
import { decideUpdate, FAILURE } from './messages.ts';

/** Runs the `bundle` step again whenever it has not yet been given the newest answers; it hands on just what changed. */
export class AnswerDelivery {
  readonly #observed: Observation;
  #given = 0;
  /** The run of `bundle` that is under way, or was last, has nothing new for the daemons but answers. */
  onlyAnswers = false;

  constructor(observed: Observation) {
    this.#observed = observed;
  }

  /** The requests as they are now, for the `bundle` step that is about to run. */
  readonly take = (): RequestView[] => {
    this.#given = this.#observed.book.answers;
    return this.#observed.book.view();
  };

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
