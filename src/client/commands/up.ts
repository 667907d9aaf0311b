/** `bottle up`: launch a bottle and show how it comes up. */
import type { EgressRoutePlan } from '../../core/bundle-plans.ts';
import { BottleError } from '../../core/errors.ts';
import { validateLaunch } from '../../core/launch-input.ts';
import { assertBottleId, taskQueueOf } from '../../core/names.ts';
import type { Plan } from '../../core/plan.ts';
import type { Driver } from '../../core/status.ts';
import type { Run } from '../context.ts';
import { NO_PIPELOCK } from '../render/scanner.ts';

export interface UpOptions {
  name?: string;
  host?: string;
  driver?: string;
  wait: boolean;
  dryRun?: boolean;
}

export const run: Run<[agent: string, options: UpOptions]> = async (context, agent, options) => {
  const { output, settings } = context;
  const host = options.host ?? settings.host;
  const driver = driverOf(options.driver);
  if (options.name !== undefined) assertBottleId(options.name);
  const plan = await localPlan(context.settings, host, agent, driver);
  if (options.dryRun === true) return dryRun(plan, host, output);
  if (plan?.scanner === 'allow-list') output.note(`note: ${NO_PIPELOCK} (bottle doctor says why)`);

  const [{ temporalTarget }, { readyEngine }, { startLaunch }] = await Promise.all([
    import('../../host/temporal-target.ts'),
    import('../engine.ts'),
    import('../launch.ts'),
  ]);
  const target = await temporalTarget(settings);
  const session = await readyEngine(settings, target, host, output);
  try {
    const launched = await startLaunch(session, {
      agent,
      host,
      name: options.name,
      ...(driver === undefined ? {} : { driver }),
    });
    output.note(`launching ${launched.id} on ${host}${urlText(target.uiUrl(launched.id, launched.runId))}`);
    const { showOnce, waitFor } = await import('../wait.ts');
    return options.wait ? await waitFor(session, launched, 'ready', output) : await showOnce(session, launched, output);
  } finally {
    await session.close();
  }
};

const urlText = (url: string | null): string => (url === null ? '' : ` (${url})`);

function driverOf(text: string | undefined): Driver | undefined {
  if (text === undefined || text === 'docker' || text === 'smolvm') return text;
  throw new BottleError('USAGE', `--driver is "${text.slice(0, 40)}", expected docker or smolvm`);
}

/** This host's manifest is checked before anything is started; another host's only by the worker there. */
async function localPlan(
  settings: { host: string } & Parameters<typeof import('../../host/planning.ts').makePlan>[0]['settings'],
  host: string,
  agent: string,
  driver: Driver | undefined,
): Promise<Plan | undefined> {
  if (host === settings.host) {
    const { makePlan } = await import('../../host/planning.ts');
    return (await makePlan({ settings, agent, driver })).plan;
  }
  const input = validateLaunch('any', taskQueueOf(host), [{ agent }]);
  if (typeof input === 'string') throw new BottleError('USAGE', input);
  return undefined;
}

function dryRun(plan: Plan | undefined, host: string, output: Parameters<Run<[]>>[0]['output']): number {
  if (plan === undefined) {
    throw new BottleError('USAGE', `--dry-run plans for this host only, not for ${host}`, {
      hint: 'run it on that host',
    });
  }
  output.result(plan, () => planText(plan));
  return 0;
}

function planText(plan: Plan): string {
  const { sources, images, resources, bundle } = plan;
  const list = (values: readonly string[]): string => (values.length === 0 ? '-' : values.join(', '));
  const rows: [string, string][] = [
    ['agent', plan.agent],
    ['agent file', sources.agent],
    ['bottle file', sources.bottle ?? '-'],
    ['driver', plan.driver],
    ['prompt', plan.prompt.empty ? 'empty' : 'from the agent file'],
    ['skills', list(plan.skills)],
    ['allowed hosts', list(bundle.pipelock.allow)],
    ['routes', list((bundle.egress?.routes ?? []).map(routeText))],
    ['repositories', list((bundle.gitGate?.repos ?? []).map(({ name, upstream }) => `${name} (${upstream})`))],
    ['daemons', list(plan.daemons)],
    ['scanner', plan.scanner],
    ['environment', list(Object.keys(plan.env))],
    ['resources', `${resources.cpus} CPUs, ${resources.memoryMiB} MiB, ${resources.pids} processes`],
    ['subnet pool', plan.pool],
    ['images', list(Object.values(images))],
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)} ${value}`).join('\n');
}

const routeText = ({ id, auth }: EgressRoutePlan): string =>
  auth === null ? id : `${id} (${auth.scheme} from ${auth.secret})`;
