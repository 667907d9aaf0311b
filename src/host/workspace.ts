/** Copies a person's working folder into a machine. */
import { realpath, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { GUEST } from '../core/plan.ts';
import { incomingName } from './machine/deliver.ts';
import type { MachineDriver } from './machine/driver.ts';
import { unpack } from './machine/unpack.ts';
import { ARCHIVED, workspaceArchive } from './workspace-archive.ts';
import { type Selection, workspaceEntries } from './workspace-entries.ts';

export interface CopiedWorkspace {
  /** Files, directories and links. */
  entries: number;
  /** Content of the files. */
  bytes: number;
  /** Sockets, fifos and devices, which were left out. */
  skipped: number;
}

/**
 * Refuses what nobody means by a working folder: a whole disk, or a home with all that is private in it.
 * @throws BottleError `USAGE`
 */
export async function assertWorkspaceFolder(folder: string, homedir: string = os.homedir()): Promise<void> {
  if (!path.isAbsolute(folder)) throw unusable(`the working folder must be an absolute path, not "${folder}"`);
  const real = await realpath(folder).catch((error: NodeJS.ErrnoException) => {
    throw unusable(`the working folder ${folder} cannot be found: ${error.code}`);
  });
  if (!(await stat(real)).isDirectory()) throw unusable(`the working folder ${folder} is not a folder`);
  const home = await realpath(homedir).catch(() => path.resolve(homedir));
  if (real === home) throw unusable(`the working folder ${folder} is your whole home folder`);
  if (holds(real, home)) throw unusable(`the working folder ${folder} holds your whole home folder`);
  if (real === path.parse(real).root) throw unusable(`the working folder ${folder} is the whole disk`);
}

const holds = (folder: string, file: string): boolean => !path.relative(folder, file).split(path.sep).includes('..');

function unusable(message: string): BottleError {
  return new BottleError('USAGE', message, { hint: 'change to the folder of one project, then retry' });
}

/**
 * The machine's workspace becomes what the folder is now, whole; run again, it becomes that anew. A run that is killed
 * leaves the workspace as it was, and what it has brought so far is removed by the next one.
 * @param folder absolute path on the host
 * @throws BottleError `USAGE` for a folder that is none; `PROVISION_FAILED` for too much of it, for what cannot be
 * read, and with what the machine said; what `workspaceEntries` throws; `MACHINE_NOT_RUNNING`; the signal's reason
 */
export async function copyWorkspace(
  driver: MachineDriver,
  id: string,
  folder: string,
  { gitignore }: Selection,
  signal: AbortSignal,
): Promise<CopiedWorkspace> {
  await assertWorkspaceFolder(folder);
  const found = await workspaceEntries(folder, { gitignore }, signal);
  const { stream, sent } = workspaceArchive(found, gitignore);
  const failing = new AbortController();
  stream.once('error', (error) => failing.abort(error));
  const name = path.basename(GUEST.workspace);
  // By a name of its own: what else is delivered clears its leftovers away, and may do so in this very directory.
  const incoming = `.${name}${incomingName()}`;
  try {
    await unpack(driver, id, {
      argv: ['sh', '-c', UNPACK_AND_SWAP, 'sh', path.dirname(GUEST.workspace), name, incoming],
      stdin: stream,
      signal: AbortSignal.any([signal, failing.signal]),
    });
  } finally {
    stream.destroy();
  }
  return { ...sent, skipped: found.skipped };
}

/**
 * One at a time: a run that was killed on the host may still be at its last lines in the machine. An archive that ends
 * between two entries is a good one to tar, so its last entry is asked for. A rename takes the place of an empty
 * directory or of none in one step, which is how a workspace starts; else it takes two, and what was moved away by a
 * run that came no further is moved back by the next. A directory out of the image cannot be moved where layers lie
 * over each other: mv copies and removes it instead, and what the agent has locked is then removed only.
 */
const UNPACK_AND_SWAP = `set -eu; cd "$1"; name=$2 incoming=$3 outgoing=.$2.bottle-outgoing
exec 9<.; flock 9
discard() { rm -rf "$@" 2>/dev/null || { chmod -R u+rwX "$@" 2>/dev/null; rm -rf "$@" 2>/dev/null; } || true; }
mv -T "$outgoing" "$name" 2>/dev/null || true
discard ".$name".bottle-*
mkdir "$incoming"
trap 'discard "$incoming"' EXIT
tar -xpf - -C "$incoming" --delay-directory-restore --warning=no-timestamp
[ -e "$incoming/${ARCHIVED.end}" ] || { echo 'only a part of the archive has arrived'; exit 1; }
mv -T "$incoming/${ARCHIVED.content}" "$name" 2>/dev/null && exit
mv -T "$name" "$outgoing" 2>/dev/null || discard "$name"
mv -T "$incoming/${ARCHIVED.content}" "$name"
{ [ -L "$outgoing" ] || chmod u+w "$outgoing"; mv -T "$outgoing" "$incoming/old"; } 2>/dev/null || true`;
