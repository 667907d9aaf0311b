/** The provisioners: each writes its files into a running machine as one archive, and can run any number of times. */
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import type { MachineInput, SkillsInput } from '../core/step-io.ts';
import { readPrompt } from '../host/bottle-state.ts';
import type { ExecRequest, GuestFile, MachineDriver } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { findSkill, readSkill, skillFolders } from '../host/skills.ts';
import type { ActivityHost } from './activity-host.ts';

const directory = (at: string): GuestFile => ({ path: at, mode: 0o755 });

/** Always copied, also when it is empty: whether the agent is pointed at it is the plan's business. */
export async function provisionPrompt(host: ActivityHost, { bottle, driver }: MachineInput): Promise<null> {
  const prompt = await readPrompt(host.settings, bottle.id);
  await machineDriver(driver, host).putFiles(bottle.id, [
    directory(path.posix.dirname(GUEST.promptFile)),
    { path: GUEST.promptFile, mode: 0o600, content: Buffer.from(prompt) },
  ]);
  return null;
}

/**
 * Each skill whole: written beside its place, then moved there, so that an agent never reads half a skill and
 * nothing of an older version stays behind.
 */
export async function provisionSkills(host: ActivityHost, input: SkillsInput, signal: AbortSignal): Promise<null> {
  const { bottle, driver, skills, directory: target } = input;
  if (skills.length === 0) return null;
  const folders = skillFolders(host.settings);
  const staging = `${target}/.bottle-incoming`;
  const files = await Promise.all(
    skills.map(async (name) => readSkill(await findSkill(folders, name), `${staging}/${name}`)),
  );
  const machine = machineDriver(driver, host);
  await machine.putFiles(bottle.id, [...parents(target), directory(staging), ...files.flat()]);
  await run(machine, bottle.id, {
    argv: ['sh', '-c', SWAP_SKILLS, 'sh', target, ...skills],
    workdir: '/',
    signal,
  });
  return null;
}

const SWAP_SKILLS = `set -eu; cd "$1"; shift
for skill in "$@"; do
  rm -rf ".bottle-outgoing"
  if [ -e "$skill" ]; then mv "$skill" .bottle-outgoing; fi
  mv ".bottle-incoming/$skill" "$skill"
done
rm -rf .bottle-outgoing .bottle-incoming`;

/** What lets Claude Code start unattended: no onboarding, no trust dialog, no question about permissions. */
export async function provisionAgent(host: ActivityHost, { bottle, driver }: MachineInput): Promise<null> {
  const seeds = {
    hasCompletedOnboarding: true,
    theme: 'dark',
    bypassPermissionsModeAccepted: true,
    projects: { [GUEST.workspace]: { hasTrustDialogAccepted: true } },
  };
  const settings = { skipDangerousModePermissionPrompt: true };
  await machineDriver(driver, host).putFiles(bottle.id, [
    directory(`${GUEST.home}/.claude`),
    { path: `${GUEST.home}/.claude.json`, mode: 0o600, content: json(seeds) },
    { path: `${GUEST.home}/.claude/settings.json`, mode: 0o600, content: json(settings) },
  ]);
  return null;
}

const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);

/** The directories between the agent's home and `target`, the agent's own; elsewhere only `target` itself. */
function parents(target: string): GuestFile[] {
  const below = path.posix.relative(GUEST.home, target);
  if (below === '' || below.startsWith('..')) return [directory(target)];
  const parts = below.split('/');
  return parts.map((_, index) => directory(path.posix.join(GUEST.home, ...parts.slice(0, index + 1))));
}

/** @throws BottleError `PROVISION_FAILED` with what the command said */
async function run(machine: MachineDriver, id: string, request: Omit<ExecRequest, 'stdout' | 'stderr'>): Promise<void> {
  const output = new PassThrough();
  const said = text(output);
  const { exitCode } = await machine
    .exec(id, { ...request, stdout: output, stderr: output })
    .finally(() => output.end());
  if (exitCode === 0) return;
  throw new BottleError('PROVISION_FAILED', `${request.argv[0]} in the machine ended with ${exitCode}: ${await said}`);
}
