/** `bottle up`: launch a bottle and show how it comes up. */
import process from 'node:process';
import { BottleError } from '../../core/errors.ts';
import { type LaunchInput, validateLaunch } from '../../core/launch-input.ts';
import { assertBottleId, candidateId, taskQueueOf } from '../../core/names.ts';
import { planVariables } from '../../core/plan-variables.ts';
import type { Driver } from '../../core/status.ts';
import type { Answers } from '../../host/bottle-state.ts';
import type { Planned } from '../../host/planning.ts';
import type { Settings } from '../../host/settings.ts';
import type { Context, Run } from '../context.ts';
import { unusedProxy } from '../render/proxy-variables.ts';
import { NO_PIPELOCK } from '../render/scanner.ts';
import type { Session } from '../session.ts';

export interface UpOptions {
  name?: string;
  host?: string;
  driver?: string;
  bottle?: string[];
  cwd?: boolean;
  gitignore?: boolean;
  prompt?: string;
  replace?: boolean;
  wait: boolean;
  dryRun?: boolean;
}

export const run: Run<[agent: string, options: UpOptions]> = async (context, agent, options) => {
  const { output, settings } = context;
  const host = options.host ?? settings.host;
  const asked = launchInput(agent, options);
  if (options.name !== undefined) assertBottleId(options.name);
  if (host !== settings.host && asked.copyCwd !== undefined)
    throw new BottleError('USAGE', `--cwd copies a folder of this host, and cannot to ${host}`);
  const local = host === settings.host ? await planHere(settings, asked) : assertAgentName(asked);
  if (options.dryRun === true) return dryRun(context, local, host);
  if (local !== undefined) await assertEngine();

  const [{ temporalTarget }, { readyEngine }, { startLaunch }, { overAnOutage }] = await Promise.all([
    import('../../host/temporal-target.ts'),
    import('../engine.ts'),
    import('../launch.ts'),
    import('../care.ts'),
  ]);
  const answers = local === undefined ? {} : await (await import('../questions.ts')).askOperator(local.planned.plan);
  const target = await temporalTarget(settings);
  const variables = local === undefined ? [] : planVariables(local.planned.plan);
  const session = await readyEngine(settings, target, host, output, variables);
  try {
    const name = options.name ?? (options.replace === true ? candidateId(agent, 1) : undefined);
    if (options.replace === true && name !== undefined) {
      const { takeDownFirst } = await import('../replace.ts');
      const left = await takeDownFirst(context, session, name);
      if (left !== 0) return left;
    }
    const launched = await withAnswers(settings, session, answers, (aside) =>
      overAnOutage(session, output, () => startLaunch(session, { ...(local?.launch ?? asked), ...aside, host, name })),
    );
    // Only now: what is refused says why, and nothing beside it.
    if (local !== undefined) await tellNotes(context, local.planned);
    if (options.name === undefined && launched.id !== candidateId(agent, 1))
      output.note(`note: ${otherName(agent, launched.id)}`);
    output.note(`launching ${launched.id} on ${host}${urlText(target.uiUrl(launched.id, launched.runId))}`);
    const { showOnce, waitFor } = await import('../wait.ts');
    return options.wait ? await waitFor(session, launched, 'ready', output) : await showOnce(session, launched, output);
  } finally {
    await session.close();
  }
};

/** Whoever goes on with the agent's name would talk to the other one. */
const otherName = (agent: string, id: string): string =>
  `there is an open bottle ${candidateId(agent, 1)}, so this one is ${id} (--name chooses, --replace takes the other down)`;

const urlText = (url: string | null): string => (url === null ? '' : ` (${url})`);

function launchInput(agent: string, options: UpOptions): LaunchInput {
  const driver = driverOf(options.driver);
  if (options.gitignore === true && options.cwd !== true)
    throw new BottleError('USAGE', '--gitignore goes with --cwd', { hint: 'it leaves out what git ignores' });
  const cwd = process.cwd();
  const input: LaunchInput = {
    agent,
    ...(driver === undefined ? {} : { driver }),
    ...(options.bottle === undefined ? {} : { bottles: options.bottle }),
    ...(options.cwd === true ? { cwd, copyCwd: options.gitignore === true ? 'unignored' : 'all' } : {}),
    ...(options.prompt === undefined ? {} : { prompt: options.prompt }),
  };
  // The agent's own name is looked at where it is looked up.
  const wrong = validateLaunch('any', taskQueueOf('any'), [{ ...input, agent: 'any' }]);
  if (typeof wrong === 'string')
    throw new BottleError('USAGE', wrong.replace(/^bottles:/, '--bottle:').replace(/^(cwd|prompt):/, '--$1:'));
  return input;
}

function driverOf(text: string | undefined): Driver | undefined {
  if (text === undefined || text === 'docker' || text === 'smolvm') return text;
  throw new BottleError('USAGE', `--driver is "${text.slice(0, 40)}", expected docker or smolvm`);
}

/**
 * An Engine that cannot keep a bottle closed is refused before anything is started. One that does not answer is the
 * worker's to tell: it may be up by then.
 * @throws BottleError `ENGINE_UNSUPPORTED`
 */
async function assertEngine(): Promise<void> {
  const [{ connectDocker }, { assertSupported }] = await Promise.all([
    import('../../host/docker.ts'),
    import('../../host/engine-support.ts'),
  ]);
  await assertSupported(connectDocker()).catch((error: unknown) => {
    if (!BottleError.is(error) || error.code === 'ENGINE_UNSUPPORTED') throw error;
  });
}

/** Another host's files are looked at by its worker only. */
function assertAgentName(asked: LaunchInput): undefined {
  const wrong = validateLaunch('any', taskQueueOf('any'), [asked]);
  if (typeof wrong === 'string') throw new BottleError('USAGE', wrong);
}

interface Local {
  launch: LaunchInput;
  planned: Planned;
}

/**
 * This host's manifest is checked before anything is started; another host's only by the worker there. The working folder
 * goes along only where it matters: when the agent was found in it, or it is to be copied.
 */
async function planHere(settings: Settings, asked: LaunchInput): Promise<Local> {
  const { makePlan } = await import('../../host/planning.ts');
  const here = { ...asked, cwd: process.cwd() };
  const planned = await makePlan({ settings, launch: here });
  if (asked.copyCwd !== undefined) {
    const { assertWorkspaceFolder } = await import('../../host/workspace.ts');
    await assertWorkspaceFolder(here.cwd);
  }
  const found = planned.manifest.agent.file.startsWith(`${settings.home}/`) ? asked : here;
  return { launch: found, planned };
}

/** Lays the answers where the worker finds them, for as long as there is a launch to take them. */
async function withAnswers<T>(
  settings: Settings,
  { client }: Session,
  answers: Answers,
  start: (aside: Pick<LaunchInput, 'answers'>) => Promise<T>,
): Promise<T> {
  if (Object.keys(answers).length === 0) return start({});
  const [{ dropAnswers, layAnswersAside }, { clusterOwner }] = await Promise.all([
    import('../../host/answers-aside.ts'),
    import('../../host/temporal-connection.ts'),
  ]);
  const aside = await layAnswersAside(settings, await clusterOwner(client), answers);
  return start({ answers: aside }).catch(async (error: unknown) => {
    await dropAnswers(settings, aside);
    throw error;
  });
}

async function tellNotes({ output, settings }: Context, { plan, manifest }: Planned): Promise<void> {
  const { scannerChanged } = await import('../../host/last-scanner.ts');
  const changed = await scannerChanged(settings, plan.scanner);
  if (plan.scanner === 'allow-list')
    output.note(`note: ${changed ? 'pipelock is found no more: ' : ''}${NO_PIPELOCK} (bottle doctor says why)`);
  else if (changed)
    output.note('note: pipelock is found now: what goes out of new bottles is scanned (bottle doctor says where)');
  const unused = plan.bundle.proxy === undefined ? unusedProxy(process.env) : undefined;
  if (unused !== undefined) output.note(`note: ${unused.note}: ${unused.line}`);
  const { problemText } = await import('../../core/manifest/problems.ts');
  for (const note of manifest.notes) output.note(`note: ${problemText(note)}`);
}

async function dryRun({ output }: Context, local: Local | undefined, host: string): Promise<number> {
  if (local === undefined) {
    throw new BottleError('USAGE', `--dry-run plans for this host only, not for ${host}`, {
      hint: 'run it on that host',
    });
  }
  const { plannedDocument, plannedText } = await import('../render/planned.ts');
  output.result(plannedDocument(local.planned), () => plannedText(local.planned));
  return 0;
}
