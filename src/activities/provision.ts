/** The provisioners: each writes its files into a running machine as one archive, and can run any number of times. */
import path from 'node:path';
import { GIT_GATE_PORT } from '../core/daemons.ts';
import { gitConfig } from '../core/git-config.ts';
import { GUEST } from '../core/plan.ts';
import type { AgentInput, GitInput, MachineInput, SkillsInput, SuperviseInput } from '../core/step-io.ts';
import { readPrompt } from '../host/bottle-state.ts';
import { deliver, incomingName } from '../host/machine/deliver.ts';
import type { GuestFile } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { findSkills, readSkill, skillFolders } from '../host/skills.ts';
import type { ActivityHost } from './activity-host.ts';

const directory = (at: string): GuestFile => ({ path: at, mode: 0o755 });

/** Always copied, also when it is empty: whether the agent is pointed at it is the plan's business. */
export async function provisionPrompt(
  host: ActivityHost,
  { bottle, driver }: MachineInput,
  signal: AbortSignal,
): Promise<null> {
  const prompt = await readPrompt(host.settings, bottle.id);
  const files = [
    directory(path.posix.dirname(GUEST.promptFile)),
    { path: GUEST.promptFile, mode: 0o600, content: Buffer.from(prompt) },
  ];
  await deliver(machineDriver(driver, host), bottle.id, { files }, signal);
  return null;
}

/** Each skill whole: an agent never reads half a skill, and nothing of an older version stays behind. */
export async function provisionSkills(host: ActivityHost, input: SkillsInput, signal: AbortSignal): Promise<null> {
  const { bottle, driver, skills, directory: target } = input;
  if (skills.length === 0) return null;
  const directories = await findSkills(skillFolders(host.settings), skills);
  const incoming = incomingName();
  const staging = `${target}/${incoming}`;
  const files = await Promise.all(directories.map((found, index) => readSkill(found, `${staging}/${skills[index]}`)));
  const machine = machineDriver(driver, host);
  // Outside the agent's home only root can make the directory.
  if (!isBelow(GUEST.home, target)) await machine.putFiles(bottle.id, [directory(target)]);
  const delivery = {
    files: [...parents(target), directory(staging), ...files.flat()],
    swap: { directory: target, incoming, names: skills },
  };
  await deliver(machine, bottle.id, delivery, signal);
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
  const files = [
    directory(path.posix.dirname(GUEST.gitConfigFile)),
    { path: GUEST.gitConfigFile, mode: 0o644, content: Buffer.from(text) },
  ];
  await deliver(machineDriver(driver, host), bottle.id, { files }, signal);
  return null;
}

/** The MCP configuration of its own, for an agent that is started with `--mcp-config`. */
export async function provisionSupervise(
  host: ActivityHost,
  { bottle, driver, url }: SuperviseInput,
  signal: AbortSignal,
): Promise<null> {
  if (url === null) return null;
  const files = [
    directory(path.posix.dirname(GUEST.mcpFile)),
    { path: GUEST.mcpFile, mode: 0o644, content: json(mcpServers(url)) },
  ];
  await deliver(machineDriver(driver, host), bottle.id, { files }, signal);
  return null;
}

/** What lets Claude Code start unattended: no onboarding, no trust dialog, no question about permissions. */
export async function provisionAgent(
  host: ActivityHost,
  { bottle, driver, url, apiKey }: AgentInput,
  signal: AbortSignal,
): Promise<null> {
  const seeds = {
    hasCompletedOnboarding: true,
    theme: 'dark',
    bypassPermissionsModeAccepted: true,
    // It asks whether to use a key that it finds in its environment, and knows a key by its last 20 characters.
    ...(apiKey === null ? {} : { customApiKeyResponses: { approved: [apiKey.slice(-20)], rejected: [] } }),
    projects: { [GUEST.workspace]: { hasTrustDialogAccepted: true } },
    ...(url === null ? {} : mcpServers(url)),
  };
  const settings = { skipDangerousModePermissionPrompt: true };
  const files = [
    directory(`${GUEST.home}/.claude`),
    { path: `${GUEST.home}/.claude.json`, mode: 0o600, content: json(seeds) },
    { path: `${GUEST.home}/.claude/settings.json`, mode: 0o600, content: json(settings) },
  ];
  await deliver(machineDriver(driver, host), bottle.id, { files }, signal);
  return null;
}

const mcpServers = (url: string) => ({ mcpServers: { supervise: { type: 'http', url } } });

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);

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
