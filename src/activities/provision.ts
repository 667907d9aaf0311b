/** The provisioners: each writes its files into a running machine as one archive, and can run any number of times. */
import path from 'node:path';
import { GIT_GATE_PORT } from '../core/daemons.ts';
import { gitConfig } from '../core/git-config.ts';
import { GUEST } from '../core/plan.ts';
import { mcpServers } from '../core/providers/mcp.ts';
import { PROVIDERS } from '../core/providers/providers.ts';
import type {
  AgentInput,
  GitInput,
  PromptInput,
  SkillsInput,
  SuperviseInput,
  WorkspaceInput,
} from '../core/step-io.ts';
import { readAnswers, readPrompt } from '../host/bottle-state.ts';
import { deliver, incomingName } from '../host/machine/deliver.ts';
import type { GuestFile } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { isEmptyIn, missingIn } from '../host/machine/look.ts';
import { privateValues, shellExports } from '../host/private-env.ts';
import { findSkills, readSkill, skillFolders } from '../host/skills.ts';
import { copyWorkspace } from '../host/workspace.ts';
import type { ActivityHost } from './activity-host.ts';

const directory = (at: string): GuestFile => ({ path: at, mode: 0o755 });

/** Always copied, also when it is empty: whether the agent is pointed at it is the plan's business. */
export async function provisionPrompt(
  host: ActivityHost,
  { bottle, driver }: PromptInput,
  signal: AbortSignal,
): Promise<null> {
  const pack = async () => {
    const prompt = await readPrompt(host.settings, bottle.id);
    return { files: [directory(path.posix.dirname(GUEST.promptFile)), file(GUEST.promptFile, 0o600, prompt)] };
  };
  await deliver(machineDriver(driver, host), bottle.id, pack, signal);
  return null;
}

/** Each skill whole: an agent never reads half a skill, and nothing of an older version stays behind. */
export async function provisionSkills(host: ActivityHost, input: SkillsInput, signal: AbortSignal): Promise<null> {
  const { bottle, driver, directory: target } = input;
  const machine = machineDriver(driver, host);
  const paths = new Map(input.skills.map((skill) => [`${target}/${skill}`, skill]));
  const wanted = input.keeps === true ? await missingIn(machine, bottle.id, [...paths.keys()]) : [...paths.keys()];
  const skills = wanted.map((at) => paths.get(at) as string);
  if (skills.length === 0) return null;
  const pack = async () => {
    const directories = await findSkills(skillFolders(host.settings), skills);
    const incoming = incomingName();
    const staging = `${target}/${incoming}`;
    const files = await Promise.all(directories.map((found, index) => readSkill(found, `${staging}/${skills[index]}`)));
    // Outside the agent's home only root can make the directory.
    if (!isBelow(GUEST.home, target)) await machine.putFiles(bottle.id, [directory(target)]);
    return {
      files: [...parents(target), directory(staging), ...files.flat()],
      swap: { directory: target, incoming, names: skills },
    };
  };
  await deliver(machine, bottle.id, pack, signal);
  return null;
}

/** Leads every way to write a repository's address to the push gate, and says who commits. */
export async function provisionGit(
  host: ActivityHost,
  { bottle, driver, network, repos, user }: GitInput,
  signal: AbortSignal,
): Promise<null> {
  const gate = `http://${network.bundleIp}:${GIT_GATE_PORT}`;
  const text = gitConfig({ gate, repos, user });
  const files = [directory(path.posix.dirname(GUEST.gitConfigFile)), file(GUEST.gitConfigFile, 0o644, text)];
  await deliver(machineDriver(driver, host), bottle.id, async () => ({ files }), signal);
  return null;
}

/** The person's working folder, as it is on the host now, in place of an empty workspace. */
export async function provisionWorkspace(
  host: ActivityHost,
  input: WorkspaceInput,
  signal: AbortSignal,
): Promise<null> {
  const { bottle, driver, folder, gitignore } = input;
  const machine = machineDriver(driver, host);
  if (input.keeps === true && !(await isEmptyIn(machine, bottle.id, GUEST.workspace))) return null;
  await copyWorkspace(machine, bottle.id, folder, { gitignore }, signal);
  return null;
}

/** The MCP configuration of its own, for an agent that is started with `--mcp-config`. */
export async function provisionSupervise(
  host: ActivityHost,
  { bottle, driver, url }: SuperviseInput,
  signal: AbortSignal,
): Promise<null> {
  if (url === null) return null;
  const files = [directory(path.posix.dirname(GUEST.mcpFile)), file(GUEST.mcpFile, 0o644, json(mcpServers(url)))];
  await deliver(machineDriver(driver, host), bottle.id, async () => ({ files }), signal);
  return null;
}

/** What lets the agent start unattended, and the variables that only its own processes may know. */
export async function provisionAgent(host: ActivityHost, input: AgentInput, signal: AbortSignal): Promise<null> {
  const { bottle, driver, template, context, privateEnv, message } = input;
  const machine = machineDriver(driver, host);
  const pack = async () => {
    const all = PROVIDERS[template].files(context).map(({ path: at, mode, text }) => file(at, mode, text));
    const paths = all.map(({ path: at }) => at);
    // The agent's program keeps more in them than what it begins with.
    const wanted = input.keeps === true ? await missingIn(machine, bottle.id, paths) : paths;
    const own = all.filter(({ path: at }) => wanted.includes(at));
    const answers = await readAnswers(host.settings, bottle.id);
    const values = privateValues(privateEnv, process.env, answers, bottle.id);
    const files = [
      ...own,
      // Also when there are none: what was there before must not stay.
      file(GUEST.privateEnvFile, 0o600, shellExports(values)),
      file(GUEST.withEnvFile, 0o755, WITH_ENV),
      ...(message === null ? [] : [file(GUEST.messageFile, 0o600, message)]),
    ];
    return { files: [...directoriesOf(files), ...files] };
  };
  await deliver(machine, bottle.id, pack, signal);
  return null;
}

/** The variables are files in the machine, so that neither a plan nor `docker inspect` shows them. */
const WITH_ENV = `#!/bin/sh
# Runs a command with the variables that came from the host or the operator.
. ${GUEST.privateEnvFile}
exec "$@"
`;

const file = (at: string, mode: number, text: string): GuestFile => ({ path: at, mode, content: Buffer.from(text) });

/** Every directory that the files are in, below the agent's home, each once and before what is in it. */
function directoriesOf(files: readonly GuestFile[]): GuestFile[] {
  const all = files.flatMap(({ path: at }) => parents(path.posix.dirname(at)));
  return [...new Map(all.map((each) => [each.path, each])).values()];
}

const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

/** The directories between the agent's home and `target`, the agent's own; elsewhere none. */
function parents(target: string): GuestFile[] {
  if (!isBelow(GUEST.home, target)) return [];
  const parts = path.posix.relative(GUEST.home, target).split('/');
  return parts.map((_, index) => directory(path.posix.join(GUEST.home, ...parts.slice(0, index + 1))));
}

function isBelow(parent: string, target: string): boolean {
  const relative = path.posix.relative(parent, target);
  return relative !== '' && relative !== '..' && !relative.startsWith('../');
}
