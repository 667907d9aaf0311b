/** What the shell proposes after `bottle`: commands and options from the program itself, agents and bottles from this host. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import tab from '@bomb.sh/tab/commander';
import type { Command } from 'commander';
import { agentFiles, bottleFiles } from '../host/manifest/library.ts';
import { settings } from '../host/settings.ts';

export const SHELLS = ['bash', 'zsh', 'fish', 'powershell'] as const;

type Completions = ReturnType<typeof tab>;

/** The program with tab's own hidden `complete`, which the shells' scripts call at every press of the key. */
export async function withCompletions(program: Command): Promise<Completions> {
  const completions = tab(program, { completionCommandName: SCRIPTS });
  completions.commands.delete(SCRIPTS);
  // In a broken setting there is just less to propose.
  const names = await namesHere().catch(() => ({ agents: [], bottles: [], ids: [] }));
  for (const [command, proposed] of [
    ...['up', 'check'].map((each) => [each, names.agents] as const),
    ...BOTTLE_COMMANDS.map((each) => [each, names.ids] as const),
  ]) {
    for (const argument of completions.commands.get(command)?.arguments.values() ?? [])
      if (argument.name === 'id' || argument.name === 'agent')
        argument.handler = (complete) => {
          for (const name of proposed) complete(name, '');
        };
  }
  for (const command of ['up', 'check']) {
    const option = completions.commands.get(command)?.options.get('bottle');
    if (option !== undefined)
      option.handler = (complete) => {
        for (const name of names.bottles) complete(name, '');
      };
  }
  return completions;
}

/** Ours has its name, since it keeps to `--json`. */
const SCRIPTS = 'completion-scripts';
const BOTTLE_COMMANDS = [
  ...['status', 'retry', 'skip', 'abort', 'apply', 'reload', 'down', 'exec', 'claude', 'logs', 'requests'],
  ...['approve', 'deny', 'ui', 'adopt'],
];

/** Read from files alone: a key press waits for no server. */
async function namesHere(): Promise<{ agents: string[]; bottles: string[]; ids: string[] }> {
  const here = settings();
  const [agents, bottles] = await Promise.all([agentFiles(here, process.cwd()), bottleFiles(here)]);
  let ids: string[] = [];
  try {
    ids = readdirSync(path.join(here.state, 'bottles'));
  } catch {
    // No bottle yet.
  }
  return { agents: agents.map(({ name }) => name), bottles: bottles.map(({ name }) => name), ids };
}
