/** Images of next to nothing, each another, so that what is made from them is made quickly. */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { followLog } from '../../src/host/image-progress.ts';

/** @returns its id */
export async function importTiny(docker: Dockerode, tag: string): Promise<string> {
  const archive = pack();
  archive.entry({ name: 'made-for' }, randomUUID());
  archive.finalize();
  const [repo, version] = tag.split(':');
  await followLog(docker, await docker.importImage(Readable.from(archive), { repo, tag: version }));
  return (await docker.getImage(tag).inspect()).Id;
}
