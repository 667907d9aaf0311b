/**
 * Brings files into a running machine. Each trip costs about 50 ms of the Engine's time however little it carries, and
 * trips to one machine queue behind each other, so provisioners that start together share one.
 */
import { randomUUID } from 'node:crypto';
import { archiveOf } from './archive.ts';
import type { GuestFile, MachineDriver } from './driver.ts';
import { unpack } from './unpack.ts';

export interface Delivery {
  /** All the agent's own. */
  files: readonly GuestFile[];
  /** Directories that take the place of what was there, whole, once every file has arrived. */
  swap?: Swap;
}

export interface Swap {
  /** Absolute path of the directory they stand in. */
  directory: string;
  /** Where in it the new ones arrive; a name nobody else uses, {@link incomingName}. */
  incoming: string;
  names: readonly string[];
}

interface Waiting {
  packed: Promise<Delivery>;
  arrived: PromiseWithResolvers<void>;
}

interface Packed extends Delivery {
  arrived: PromiseWithResolvers<void>;
}

/** Long enough for activities that one workflow task scheduled to find each other. */
const WINDOW_MS = 4;
const INCOMING = '.bottle-incoming';
const OUTGOING = '.bottle-outgoing';

const waiting = new WeakMap<MachineDriver, Map<string, Waiting[]>>();

/** What a killed run has left half-written must not get mixed into the next: each has a place of its own. */
export const incomingName = (): string => `${INCOMING}-${randomUUID()}`;

/**
 * @param pack reads what is to be brought; a trip waits for all that had asked for it
 * @param signal stops the waiting; what is on its way may still arrive
 * @throws BottleError `PROVISION_FAILED` with what the machine said, `MACHINE_NOT_RUNNING`; the signal's reason
 */
export async function deliver(
  machine: MachineDriver,
  id: string,
  pack: () => Promise<Delivery>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const each: Waiting = { packed: pack(), arrived: Promise.withResolvers<void>() };
  each.packed.catch(each.arrived.reject);
  const queues = waiting.get(machine) ?? new Map<string, Waiting[]>();
  waiting.set(machine, queues);
  const queue = queues.get(id);
  if (queue !== undefined) queue.push(each);
  else {
    queues.set(id, [each]);
    setTimeout(() => {
      const together = queues.get(id) ?? [];
      queues.delete(id);
      void packAll(together).then((packed) => carryAll(machine, id, packed));
    }, WINDOW_MS);
  }
  const stop = (): void => each.arrived.reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  await each.arrived.promise.finally(() => signal.removeEventListener('abort', stop));
}

/** Those that could be; the others have been told. */
async function packAll(together: readonly Waiting[]): Promise<Packed[]> {
  const packed = together.map(({ packed, arrived }) =>
    packed.then(
      (delivery) => [{ ...delivery, arrived }],
      () => [],
    ),
  );
  return (await Promise.all(packed)).flat();
}

async function carryAll(machine: MachineDriver, id: string, together: readonly Packed[]): Promise<void> {
  const swaps = together.flatMap(({ swap }) => swap ?? []);
  if (together.length > 1 && swaps.length <= 1) {
    const files = together.flatMap((each) => each.files);
    const [swap] = swaps;
    try {
      await carry(machine, id, swap === undefined ? { files } : { files, swap });
      for (const { arrived } of together) arrived.resolve();
      return;
    } catch {
      // One of them is at fault, or none: alone, each gets the answer that is its own.
    }
  }
  for (const { arrived, ...delivery } of together)
    await carry(machine, id, delivery).then(arrived.resolve, arrived.reject);
}

async function carry(machine: MachineDriver, id: string, { files, swap }: Delivery): Promise<void> {
  if (swap === undefined) return machine.putFiles(id, files);
  const argv = ['sh', '-c', UNPACK_AND_SWAP, 'sh', swap.directory, swap.incoming, ...swap.names];
  await unpack(machine, id, { argv, stdin: archiveOf(files) });
}

/** A delivery that was broken off may still be at work in the machine. Longer than any takes. */
const LOCK_SECONDS = 60;

/**
 * One at a time, so that none clears away what another is just unpacking: the lock is the machine's root directory, which is
 * always there, and ends with its holder. The agent may have taken its own right to write in a directory, which is no reason
 * to keep an old version.
 */
const UNPACK_AND_SWAP = `set -eu; exec 9</
flock --wait ${LOCK_SECONDS} 9 || { echo 'something in the machine keeps a lock on /'; exit 1; }
tar -xpf - -C /; cd "$1"; incoming=$2; shift 2
discard() { chmod -R u+rwX "$@" 2>/dev/null || true; rm -rf "$@"; }
for name in "$@"; do
  discard ${OUTGOING}
  if [ -e "$name" ] || [ -L "$name" ]; then chmod u+w "$name" 2>/dev/null || true; mv -T "$name" ${OUTGOING}; fi
  mv -T "$incoming/$name" "$name"
done
discard ${OUTGOING} ${INCOMING}*`;
