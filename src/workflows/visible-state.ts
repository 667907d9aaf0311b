/** Keeps what the Temporal UI and visibility show in step with the launch, with as few history events as it can. */
import { patched, setCurrentDetails, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { detailsMarkdown, type LaunchIdentity } from '../core/launch-view.ts';
import type { Driver, LaunchMemo, StatusDocument } from '../core/status.ts';
import { agentAttribute, hostAttribute, phaseAttribute, stepAttribute } from './messages.ts';

const STOPPED_BY = 'memo-stopped-by';
const TROUBLE = 'memo-trouble';

export class VisibleState {
  readonly #launch: LaunchIdentity;
  readonly #requestedDriver: Driver | null;
  /** As this run set it. What it started with comes in any order of keys, another at each replay: so it is not compared. */
  #memo: string | undefined;

  constructor(launch: LaunchIdentity, requestedDriver: Driver | null) {
    this.#launch = launch;
    this.#requestedDriver = requestedDriver;
  }

  show(status: StatusDocument): void {
    setCurrentDetails(detailsMarkdown(status));
    this.#showAttributes(status);
    this.#showMemo(status);
  }

  /** A client sets the first values at the start, so a launch that just works costs two upserts: ready and stopped. */
  #showAttributes({ phase, steps }: StatusDocument): void {
    const shown = workflowInfo().typedSearchAttributes;
    const held = steps.find((step) => step.state === 'held' || step.state === 'undo-held')?.id;
    const step = phase === 'held' ? held : undefined;
    const changes = [
      ...(shown.get(phaseAttribute) === phase ? [] : [{ key: phaseAttribute, value: phase }]),
      ...(shown.get(agentAttribute) === this.#launch.agent ? [] : [{ key: agentAttribute, value: this.#launch.agent }]),
      // It never becomes another's.
      ...(shown.get(hostAttribute) !== undefined ? [] : [{ key: hostAttribute, value: this.#launch.host }]),
      ...(shown.get(stepAttribute) === step ? [] : [{ key: stepAttribute, value: step ?? null }]),
    ];
    if (changes.length > 0) upsertSearchAttributes(changes);
  }

  #showMemo(status: StatusDocument): void {
    const held =
      status.phase === 'held' ? status.steps.filter(({ state }) => state === 'held' || state === 'undo-held') : [];
    const pending = status.requests.filter(({ state }) => state === 'pending').length;
    const memo: LaunchMemo = {
      agent: this.#launch.agent,
      driver: status.driver ?? this.#requestedDriver,
      heldSteps: held.map((step) => step.id),
      ...(held[0]?.error === undefined ? {} : { error: held[0].error }),
      ...(pending === 0 ? {} : { pendingRequests: pending }),
      ...(workflowInfo().continuedFromExecutionRunId === undefined ? {} : { startedAt: status.startedAt }),
      ...(status.waitsFor === undefined
        ? {}
        : { waitsFor: { what: status.waitsFor.what, message: status.waitsFor.message } }),
      // Histories from before it was kept go without.
      ...(status.stoppedBy !== null && patched(STOPPED_BY) ? { stoppedBy: status.stoppedBy } : {}),
      ...(status.trouble !== undefined && patched(TROUBLE) ? { trouble: status.trouble } : {}),
    };
    const text = JSON.stringify(memo);
    // While steps run, a memo that only learned the driver can wait for the next change that matters.
    if (text === this.#memo || status.phase === 'launching') return;
    this.#memo = text;
    upsertMemo({ error: null, pendingRequests: null, waitsFor: null, trouble: null, ...memo });
  }
}
