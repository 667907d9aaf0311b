/** Files for a machine as one tar archive. */
import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { GUEST } from '../../core/plan.ts';
import type { GuestFile } from './driver.ts';

/** A tar stream of the files, in their order, with paths relative to the root of the machine. */
export function archiveOf(files: readonly GuestFile[]): Readable {
  const archive = pack();
  for (const file of files) {
    const id = file.owner === 'root' ? 0 : GUEST.uid;
    const header = { name: file.path.replace(/^\/+/, ''), mode: file.mode, uid: id, gid: id, mtime: new Date() };
    if (file.content === undefined) archive.entry({ ...header, type: 'directory' });
    else archive.entry({ ...header, type: 'file' }, file.content);
  }
  archive.finalize();
  return Readable.from(archive);
}
