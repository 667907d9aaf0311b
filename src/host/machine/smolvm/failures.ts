/** What smolvm fails with, as errors of ours: its own reason, and what a person can do. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { BottleError } from '../../../core/errors.ts';
import type { Failure } from './cli.ts';

const KVM = '/dev/kvm';
const TRY_HINT = 'bottle doctor --boot tries whether any machine boots on this host; bottle doctor says what it needs';

/** Of any call but a start. @param what such as `stop the machine bottle-demo-machine` */
export function programFailed(what: string, failure: Failure): BottleError {
  return new BottleError('DRIVER_FAILED', `smolvm could not ${what}: ${reasonOf(failure)}`, { hint: 'bottle doctor' });
}

/**
 * @param hasBooted whether a machine has ever started on this host: if none has, one more try is a waste of half a minute
 */
export async function startFailed(name: string, failure: Failure, hasBooted: boolean): Promise<BottleError> {
  const kvm = failure.code === 'KVM_UNAVAILABLE' || failure.code === 'HYPERVISOR_UNAVAILABLE';
  const trouble = await kvmTrouble();
  return new BottleError('MACHINE_START_FAILED', `the machine ${name} did not start: ${reasonOf(failure)}`, {
    hint: trouble === undefined ? TRY_HINT : `${trouble.found}: ${trouble.hint}`,
    retryable: hasBooted && !kvm && trouble === undefined,
  });
}

/**
 * What keeps this host's user from KVM.
 * @returns undefined when nothing does, and where there is no KVM to look for
 */
export async function kvmTrouble(
  platform: NodeJS.Platform = process.platform,
): Promise<{ found: string; hint: string } | undefined> {
  if (platform !== 'linux') return undefined;
  const there = await stat(KVM).catch(() => undefined);
  if (there === undefined) {
    return {
      found: `there is no ${KVM}`,
      hint: 'turn virtualisation on in the firmware (in a virtual machine: nested virtualisation), then: sudo modprobe kvm_intel, or kvm_amd',
    };
  }
  try {
    await access(KVM, constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return {
      found: `${KVM} may not be used`,
      hint: 'add yourself to its group and log in anew: sudo usermod -aG kvm $USER',
    };
  }
}

/** `agent operation failed: start machine: agent operation failed: wait for ready: why` without what is said twice. */
export function reasonOf({ code, message }: Failure): string {
  const parts = message.split(': ');
  const shorter = parts
    .filter((part, index) => !/ operation failed$/.test(part) || index === parts.length - 1)
    .join(': ');
  return code === 'UNKNOWN' || code === 'SMOLVM_ERROR' ? shorter : `${shorter} (${code})`;
}
