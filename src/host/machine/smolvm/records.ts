/** What smolvm knows of its machines. Only calls that leave nothing behind for a name they do not know. */
import { BottleError } from '../../../core/errors.ts';
import type { MachineStatus } from '../../../core/status.ts';
import { callSmolvm, type Smolvm } from './cli.ts';
import { programFailed } from './failures.ts';

export interface MachineRecord {
  name: string;
  /** smolvm's word: `created`, `running`, `stopped`, `failed`, `unreachable`, `frozen`, `paused` and whatever comes. */
  state: string;
  labels: Record<string, string>;
  /** What it was made from, in smolvm's words; null without an image, undefined when it does not say. */
  image?: string | null | undefined;
}

const ASK_MS = 60_000;

/** All machines of the state directory. @throws BottleError as {@link callSmolvm}, or when the program fails */
export async function readRecords(smolvm: Smolvm): Promise<MachineRecord[]> {
  const { stdout, failure } = await callSmolvm(smolvm, ['machine', 'ls'], ['--json'], { timeoutMs: ASK_MS });
  if (failure !== undefined) throw programFailed('list machines', failure);
  return parsed(stdout, (list) => (list as unknown[]).map(recordOf));
}

/**
 * Asks for one machine only: a list asks each that runs whether it still does, for up to 3 s, and a machine that hangs is
 * no matter of the others.
 * @returns undefined when smolvm has no machine of that name
 */
export async function readRecord(smolvm: Smolvm, name: string): Promise<MachineRecord | undefined> {
  const args = ['--json', '--name', name];
  const { stdout, failure } = await callSmolvm(smolvm, ['machine', 'status'], args, { timeoutMs: ASK_MS });
  if (failure === undefined) return parsed(stdout, recordOf);
  // That there is none is said with the code of a wrong configuration, so the list of names decides.
  if (!(await machineNames(smolvm)).includes(name)) return undefined;
  throw programFailed(`tell of the machine ${name}`, failure);
}

/** Names of all machines of the state directory. */
export async function machineNames(smolvm: Smolvm): Promise<string[]> {
  const { stdout, failure } = await callSmolvm(smolvm, ['machine', 'ls'], ['-q'], { timeoutMs: ASK_MS });
  if (failure !== undefined) throw programFailed('list machines', failure);
  return stdout.split('\n').filter((line) => line !== '');
}

/** @throws BottleError `INTERNAL` for what is not what 1.32.2 prints */
function parsed<T>(stdout: string, read: (json: unknown) => T): T {
  try {
    return read(JSON.parse(stdout));
  } catch (cause) {
    throw new BottleError('INTERNAL', `smolvm tells of its machines in a way bottle cannot read: ${String(cause)}`, {
      cause,
    });
  }
}

function recordOf(json: unknown): MachineRecord {
  const { name, state, labels, image } = json as Partial<MachineRecord>;
  if (typeof name !== 'string' || typeof state !== 'string') throw new Error('a machine without name or state');
  return { name, state, labels: labels ?? {}, image };
}

/** In the words of the status document. One that does not answer counts as stopped: `start` boots it anew. */
export function statusOf({ state }: MachineRecord): MachineStatus['state'] {
  if (state === 'running' || state === 'created') return state;
  return 'stopped';
}

/** Frozen, paused or of a kind yet to come, a machine cannot be started as it is. */
export const isStartable = ({ state }: MachineRecord): boolean =>
  ['created', 'running', 'stopped', 'failed', 'unreachable'].includes(state);
