/** A plan for people: what would run, from which files, and what each daemon would let through. */
import { allowances } from '../../core/allowances.ts';
import type { Plan } from '../../core/plan.ts';
import { duration } from './text.ts';

export function planText(plan: Plan): string {
  const { sources, images, resources, limits, prompt, workspace, message } = plan;
  const rows: [string, string][] = [
    ['agent', plan.agent],
    ['agent file', sources.agent],
    ['bottle files', list(sources.bottles)],
    ['driver', driverText(plan)],
    ['agent program', plan.provider.template],
    ['prompt', prompt.empty ? 'empty' : 'from the agent file'],
    ...(message === null ? [] : [['first message', oneLine(message)] as [string, string]]),
    ['skills', list(plan.skills)],
    ['environment', list([...Object.keys(plan.env), ...Object.entries(plan.privateEnv).map(privateText)])],
    ...(workspace === null
      ? []
      : [
          ['workspace', `${workspace.folder}${workspace.gitignore ? ', without what git ignores' : ''}`] as [
            string,
            string,
          ],
        ]),
    ['resources', `${resources.cpus} CPUs, ${resources.memoryMiB} MiB, ${resources.pids} processes`],
    ['limits', limitsText(limits)],
    ['subnet pool', plan.pool],
    ['images', list(Object.values(images))],
    ['scanner', plan.scanner],
    ...allowed(plan),
  ];
  return rows.map(([name, value]) => `${name.padEnd(14)} ${value}`.trimEnd()).join('\n');
}

function driverText({ driver, link }: Plan): string {
  if (driver === 'docker') return driver;
  return `${driver}, ${link === 'sockets' ? 'without a network: its bundle is reached over sockets of the host' : "its bundle's address is all it can reach"}`;
}

/** The first line of each daemon has its name. */
function allowed(plan: Plan): [string, string][] {
  return Object.entries(allowances(plan)).flatMap(([daemon, lines]) =>
    (lines.length === 0 ? ['nothing'] : lines).map((line, at): [string, string] => [at === 0 ? daemon : '', line]),
  );
}

function privateText([name, source]: [string, Plan['privateEnv'][string]]): string {
  return source.from === 'host' ? `${name} (from ${source.variable})` : `${name} (asked: ${source.question})`;
}

function limitsText({ lifetimeMs, idleMs }: Plan['limits']): string {
  const texts = [
    ...(lifetimeMs === null ? [] : [`stopped after ${duration(lifetimeMs)}`]),
    ...(idleMs === null ? [] : [`stopped when idle for ${duration(idleMs)}`]),
  ];
  return list(texts);
}

const list = (values: readonly string[]): string => (values.length === 0 ? '-' : values.join(', '));

const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
};
