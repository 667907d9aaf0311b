/** Whether machines boot on this host, by the only proof there is: one that is made, started, asked, and removed again. */
import { constants } from 'node:fs';
import { access, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { callSmolvm, type Smolvm, type SmolvmProgram } from './cli.ts';
import { kvmTrouble, reasonOf } from './failures.ts';
import { removeMachine } from './removal.ts';
import { assertVersion } from './version.ts';

export interface BootTrial {
  boots: boolean;
  /** What happened, in words. */
  found: string;
  hint?: string;
}

const NAME = 'boot-trial';
const CALL_MS = 120_000;
/** Bare: smolvm's own small system, without an image and without a network. */
const BARE = ['--cpus', '1', '--mem', '512', '--storage', '1'];
const CALLS: readonly [verb: string, args: readonly string[], failed: string][] = [
  ['create', BARE, 'smolvm cannot even make a machine'],
  ['start', [], 'no machine boots on this host'],
  ['exec', ['--', 'true'], 'a machine boots, and nothing runs in it'],
];

/**
 * Takes a second where a machine boots, and half a minute where none does. All is done in a state directory of its own,
 * which goes with what is in it.
 * @param signal breaks it off; nothing is left then either
 * @param within the folder that is to hold the state directory
 * @throws BottleError `DRIVER_UNAVAILABLE`, `TIMEOUT`; the signal's reason
 */
export async function tryToBoot(program: SmolvmProgram, signal: AbortSignal, within?: string): Promise<BootTrial> {
  await assertVersion(program);
  const state = await mkdtemp(path.join(within ?? (await temporaryFolder()), 'bottle-boot-'));
  const smolvm: Smolvm = { program, state };
  try {
    return await trial(smolvm, signal);
  } finally {
    await removeMachine(smolvm, NAME, () => undefined).finally(() => rm(state, { recursive: true, force: true }));
  }
}

async function trial(smolvm: Smolvm, signal: AbortSignal): Promise<BootTrial> {
  const took: Record<string, string> = {};
  for (const [verb, args, failed] of CALLS) {
    const began = Date.now();
    const call = { timeoutMs: CALL_MS, signal };
    const { failure } = await callSmolvm(smolvm, ['machine', verb], ['--name', NAME, ...args], call);
    took[verb] = `${((Date.now() - began) / 1000).toFixed(1)} s`;
    if (failure === undefined) continue;
    const trouble = await kvmTrouble();
    return {
      boots: false,
      found: `${failed}: ${reasonOf(failure)} (after ${took[verb]})`,
      hint: trouble === undefined ? NOT_KVM : `${trouble.found}: ${trouble.hint}`,
    };
  }
  return { boots: true, found: `a machine boots on this host, in ${took['start']}` };
}

const NOT_KVM =
  'this processor, or the virtual machine that this host is, may not give KVM what a guest needs (nested virtualisation); use --driver docker here';

/** A short path: see `longest` in platform.ts. */
async function temporaryFolder(): Promise<string> {
  return access('/tmp', constants.W_OK).then(
    () => '/tmp',
    () => os.tmpdir(),
  );
}
