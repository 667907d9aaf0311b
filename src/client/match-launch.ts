/** Before something is read anew for a launch that is there: whoever reads it has what this command has. */
import type { LaunchInput } from '../core/launch-input.ts';
import { planVariables } from '../core/plan-variables.ts';
import { readPlan } from '../host/bottle-state.ts';
import type { Settings } from '../host/settings.ts';
import { type BottleRun, describeBottle } from './bottle-status.ts';
import type { Context } from './context.ts';
import type { ServedLaunch } from './open-launch.ts';
import type { Session } from './session.ts';
import { matchWorker } from './worker-match.ts';

/** @throws BottleError `WORKER_DIFFERS`, `DOCKER_CONTEXT_INVALID` */
export async function matchLaunch(
  session: Session,
  { settings, output }: Context,
  launch: ServedLaunch,
): Promise<void> {
  // Another host's worker has what it has.
  if (launch.host !== settings.host) return;
  await matchWorker(session, output, await variablesOf(session, settings, launch));
}

/** What its plan names, and what the files say now: the worker reads them again. */
async function variablesOf(session: Session, settings: Settings, launch: ServedLaunch): Promise<string[]> {
  const [kept, now] = await Promise.all([
    readPlan(settings, launch.id).catch(() => undefined),
    planNow(session, settings, launch).catch(() => undefined),
  ]);
  return [kept, now].flatMap((plan) => (plan === undefined ? [] : planVariables(plan)));
}

async function planNow(session: Session, settings: Settings, launch: ServedLaunch) {
  const [input, { makePlan }] = await Promise.all([inputOf(session, launch), import('../host/planning.ts')]);
  return (await makePlan({ settings, launch: input })).plan;
}

/** What the launch was started with: the first event of each of its runs has it. */
async function inputOf(session: Session, launch: BottleRun): Promise<LaunchInput> {
  const { client } = session;
  const { runId } = await describeBottle(session, launch.id, launch.runId);
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: launch.id, runId },
    maximumPageSize: 1,
  });
  const [payload] = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
  return JSON.parse(Buffer.from(payload?.data ?? []).toString('utf8')) as LaunchInput;
}
