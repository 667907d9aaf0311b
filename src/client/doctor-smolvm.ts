/** What `bottle doctor` says of smolvm: the program, and what its machines need of this host. */
import process from 'node:process';
import { readConfig } from '../host/config-file.ts';
import { roomAt } from '../host/disk.ts';
import { tryToBoot } from '../host/machine/smolvm/boot-trial.ts';
import { kvmTrouble } from '../host/machine/smolvm/failures.ts';
import { machineStatePath } from '../host/machine/smolvm/state-directory.ts';
import { assertVersion } from '../host/machine/smolvm/version.ts';
import type { Settings } from '../host/settings.ts';
import { findSmolvm } from '../host/smolvm-package.ts';
import { TOOLS } from '../host/tools.ts';
import type { Check } from './doctor-checks.ts';
import { viewOf } from './report-error.ts';

type Finding = Omit<Check, 'name'>;

const GIB = 1024 ** 3;
/** An image as an archive, and unpacked once more in each machine. */
const LEAST_FREE = 5 * GIB;

/** Docker being the default driver, what is missing here matters to who has chosen smolvm. */
export async function smolvm(settings: Settings): Promise<Finding> {
  const troubles: { found: string; hint?: string | undefined }[] = [];
  const note = (error: unknown): void => {
    const { message, hint } = viewOf(error);
    troubles.push({ found: message, hint });
  };
  const program = await findSmolvm();
  if (program === undefined) troubles.push({ found: 'not found', hint: TOOLS.smolvm.hint });
  else await assertVersion(program).catch(note);
  const kvm = await kvmTrouble();
  if (kvm !== undefined) troubles.push(kvm);
  const directory = await attempt(() => machineStatePath(settings)).catch(note);
  const free = roomAt(settings.state)?.free ?? 0;
  if (free < LEAST_FREE) troubles.push({ found: `only ${inGib(free)} are free`, hint: 'free some disk space' });
  if (troubles.length > 0) return asFinding(troubles, readConfig(settings).driver === 'smolvm' ? 'fail' : 'warn');
  const found = `${program?.version}, ${program?.path} (${program?.source}); ${process.platform === 'linux' ? 'KVM is there; ' : ''}${inGib(free)} free for ${directory}`;
  return { state: 'ok', found, hint: 'bottle doctor --boot tries whether a machine boots' };
}

/** The proof that a look cannot give. @param signal breaks it off */
export async function smolvmBoot(signal: AbortSignal): Promise<Finding> {
  const program = await findSmolvm();
  if (program === undefined) return { state: 'fail', found: 'smolvm: not found', hint: TOOLS.smolvm.hint };
  const { boots, found, hint } = await tryToBoot(program, signal);
  return { state: boots ? 'ok' : 'fail', found, ...(hint === undefined ? {} : { hint }) };
}

async function attempt<T>(look: () => T): Promise<T> {
  return look();
}

function asFinding(troubles: readonly { found: string; hint?: string | undefined }[], state: 'warn' | 'fail'): Finding {
  const hints = troubles.flatMap(({ hint }) => hint ?? []);
  return {
    state,
    found: troubles.map(({ found }) => found).join('; '),
    ...(hints.length === 0 ? {} : { hint: hints.join('; ') }),
  };
}

const inGib = (bytes: number): string => `${Math.floor(bytes / GIB)} GiB`;
