/** `bottle check`: what people have written, looked at without touching anything. */
import process from 'node:process';
import { type BottleError, exitCodeFor } from '../../core/errors.ts';
import { type Problem, problemText } from '../../core/manifest/problems.ts';
import { readConfig, readConfigProblems } from '../../host/config-file.ts';
import { agentFiles, bottleFiles, inspectBottle, inspectManifest, strayFiles } from '../../host/manifest/library.ts';
import { planFrom } from '../../host/planning.ts';
import type { Settings } from '../../host/settings.ts';
import type { Context } from '../context.ts';
import { plannedDocument, plannedText } from '../render/planned.ts';
import { clean } from '../render/text.ts';

const INVALID = exitCodeFor('MANIFEST_INVALID');

export async function run(
  context: Context,
  agent: string | undefined,
  options: { bottle?: string[] },
): Promise<number> {
  return agent === undefined ? everything(context) : one(context, agent, options.bottle);
}

/** One agent: its problems, or what it comes to. */
async function one({ output, settings }: Context, agent: string, bottles: string[] | undefined): Promise<number> {
  const request = { agent, bottles, folder: process.cwd() };
  const { file, problems, manifest } = await inspectManifest({ settings, ...request });
  const all = [...readConfigProblems(settings), ...problems];
  if (manifest === undefined || all.some(isError)) {
    tell(output, all);
    output.result({ ok: false, agent, file, problems: all.map(problemDocument) }, () => summary([agent], all));
    return INVALID;
  }
  const launch = { agent, cwd: process.cwd(), ...(bottles === undefined ? {} : { bottles }) };
  const planned = await planFrom(manifest, readConfig(settings), { settings, launch });
  output.result({ ok: true, agent, file, problems: all.map(problemDocument), plan: plannedDocument(planned) }, () =>
    plannedText(planned),
  );
  return 0;
}

interface Looked {
  kind: 'agent' | 'bottle' | 'config';
  name: string;
  file: string;
  problems: Problem[];
}

/** Every file, each by itself: a broken one stops nobody else. */
async function everything({ output, settings }: Context): Promise<number> {
  const looked = await lookAtAll(settings);
  const stray = await strayFiles(settings, process.cwd());
  const problems = unique([...looked.flatMap((each) => each.problems), ...stray]);
  tell(output, problems);
  const documents = looked.map(({ problems: own, ...rest }) => {
    return { ...rest, ok: !own.some(isError), problems: own.map(problemDocument) };
  });
  const ok = !problems.some(isError);
  output.result({ ok, files: documents, problems: problems.map(problemDocument) }, () =>
    summary(
      looked.filter(({ kind }) => kind !== 'config').map(({ name }) => name),
      problems,
    ),
  );
  return ok ? 0 : INVALID;
}

async function lookAtAll(settings: Settings): Promise<Looked[]> {
  const [agents, bottles] = await Promise.all([agentFiles(settings, process.cwd()), bottleFiles(settings)]);
  return [
    {
      kind: 'config',
      name: 'config.yaml',
      file: `${settings.home}/config.yaml`,
      problems: readConfigProblems(settings),
    },
    ...(await Promise.all(
      agents.map(async ({ name, file }): Promise<Looked> => {
        const request = { settings, agent: name, folder: process.cwd() };
        const problems = await inspectManifest(request).then((found) => found.problems, problemOf(file));
        return { kind: 'agent', name, file, problems };
      }),
    )),
    ...(await Promise.all(
      bottles.map(async ({ name, file }): Promise<Looked> => {
        return { kind: 'bottle', name, file, problems: await inspectBottle(settings, name) };
      }),
    )),
  ];
}

const problemOf =
  (file: string) =>
  (error: BottleError): Problem[] => [{ severity: 'error', file, position: null, key: '', message: error.message }];

function tell(output: Context['output'], problems: readonly Problem[]): void {
  if (output.flags.json) return;
  for (const problem of problems) {
    const line = clean(problemText(problem));
    if (isError(problem)) output.say(line);
    else output.note(`note: ${line}`);
  }
}

function summary(names: readonly string[], problems: readonly Problem[]): string {
  const errors = problems.filter(isError).length;
  if (errors > 0) return `${errors} ${errors === 1 ? 'problem' : 'problems'}`;
  return names.length === 0
    ? 'no agents and bottles yet: bottle init writes the first'
    : `${names.length} files, no problems`;
}

const isError = ({ severity }: Problem): boolean => severity === 'error';

const problemDocument = ({ severity, file, position, key, message }: Problem) => {
  return { severity, file, line: position?.line ?? null, column: position?.column ?? null, key, message };
};

/** A bottle's problem is that of every agent in it. */
function unique(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [problemText(problem), problem])).values()];
}
