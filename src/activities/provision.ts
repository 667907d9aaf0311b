/** The provisioners: each writes its files into a running machine as one archive, and can run any number of times. */
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import type { MachineInput, SkillsInput } from '../core/step-io.ts';
import { readPlan, readPrompt } from '../host/bottle-state.ts';
import { archiveOf } from '../host/machine/archive.ts';
import type { ExecRequest, GuestFile, MachineDriver } from '../host/machine/driver.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { findSkills, readSkill, skillFolders } from '../host/skills.ts';
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
  const directories = await findSkills(skillFolders(host.settings), skills);
  // A place of its own for each run: what a killed run has left half-written must not get mixed into this one.
  const incoming = `${INCOMING}-${crypto.randomUUID()}`;
  const staging = `${target}/${incoming}`;
  const files = await Promise.all(directories.map((found, index) => readSkill(found, `${staging}/${skills[index]}`)));
  const machine = machineDriver(driver, host);
  // Outside the agent's home only root can make the directory; everything else is one command as the agent.
  if (!isBelow(GUEST.home, target)) await machine.putFiles(bottle.id, [directory(target)]);
  await run(machine, bottle.id, {
    argv: ['sh', '-c', UNPACK_AND_SWAP, 'sh', target, incoming, ...skills],
    stdin: archiveOf([...parents(target), directory(staging), ...files.flat()]),
    workdir: '/',
    signal,
  });
  return null;
}

const INCOMING = '.bottle-incoming';
const OUTGOING = '.bottle-outgoing';

/** The agent may have taken its own right to write in a skill's folder, which is no reason to keep an old version. */
const UNPACK_AND_SWAP = `set -eu; tar -xpf - -C /; cd "$1"; incoming=$2; shift 2
discard() { chmod -R u+rwX "$@" 2>/dev/null || true; rm -rf "$@"; }
for skill in "$@"; do
  discard ${OUTGOING}
  if [ -e "$skill" ] || [ -L "$skill" ]; then chmod u+w "$skill" 2>/dev/null || true; mv -T "$skill" ${OUTGOING}; fi
  mv -T "$incoming/$skill" "$skill"
done
discard ${OUTGOING} ${INCOMING}*`;

/** What lets Claude Code start unattended: no onboarding, no trust dialog, no question about permissions. */
export async function provisionAgent(host: ActivityHost, { bottle, driver }: MachineInput): Promise<null> {
  const key = (await readPlan(host.settings, bottle.id))?.env['ANTHROPIC_API_KEY'];
  const seeds = {
    hasCompletedOnboarding: true,
    theme: 'dark',
    bypassPermissionsModeAccepted: true,
    // It asks whether to use a key that it finds in its environment, and knows a key by its last 20 characters.
    ...(key === undefined ? {} : { customApiKeyResponses: { approved: [key.slice(-20)], rejected: [] } }),
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
