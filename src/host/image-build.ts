/** One image build on the Engine's classic builder: a context assembled as a stream, and the outcome read from its log. */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type Dockerode from 'dockerode';
import { type Pack, pack } from 'tar-stream';
import { proxyEnvironment } from './host-proxy-environment.ts';
import { followLog } from './image-progress.ts';
import { dockerfileOf, IMAGE_LABEL, type ImageKind } from './image-tags.ts';
import { membersOf, withMember } from './npm-package.ts';

/** A part of a build context: a file of given content, one member of a tarball, or all that are wanted in a folder. */
export type ContextFile =
  | { name: string; mode?: number; content: Buffer | string }
  | { name: string; mode: number; tarball: string; member: string }
  | { folder: string; tarball: string; isWanted?: (path: string) => boolean };

export interface ImageBuild {
  /** Ours are built by {@link dockerfileOf} their kind, a person's own by the Dockerfile among its files. */
  kind: ImageKind | 'custom';
  tag: string;
  files: ContextFile[];
  /** Name of a custom one's Dockerfile. */
  dockerfile?: string;
  buildargs: Record<string, string>;
}

/**
 * Builds and tags one image.
 *
 * The build uses the host's network, and network.proxy of config.yaml or the host's proxy variables, since a company's
 * proxy or name server is often only reachable so. The builder keeps none of these arguments in the image or its history.
 *
 * @throws BottleError `IMAGE_BUILD_FAILED` with the builder's own last words
 */
export async function buildImage(docker: Dockerode, build: ImageBuild): Promise<void> {
  const ours = build.kind !== 'custom';
  const own = ours ? [{ name: 'Dockerfile', content: await readFile(dockerfileOf(build.kind)) }] : [];
  const context = pack();
  const filling = fill(context, [...own, ...build.files]);
  filling.catch((error: Error) => context.destroy(error));
  const log = await docker.buildImage(context as unknown as NodeJS.ReadableStream, {
    t: build.tag,
    ...(build.dockerfile === undefined ? {} : { dockerfile: build.dockerfile }),
    buildargs: { ...(await proxyEnvironment()), ...build.buildargs },
    labels: { [IMAGE_LABEL]: build.kind },
    networkmode: 'host',
    rm: true,
    forcerm: true,
    version: '1',
  });
  await Promise.all([filling, followLog(docker, log)]);
}

async function fill(context: Pack, files: ContextFile[]): Promise<void> {
  for (const file of files) {
    if ('content' in file) {
      await addEntry(
        context,
        file.name,
        file.mode ?? 0o644,
        Buffer.byteLength(file.content),
        Readable.from([file.content]),
      );
    } else if ('folder' in file) {
      for await (const member of membersOf(file.tarball, file.isWanted ?? (() => true))) {
        const mode = member.isExecutable ? 0o755 : 0o644;
        await addEntry(context, `${file.folder}/${member.path}`, mode, member.size, member.content);
      }
    } else {
      await withMember(file.tarball, file.member, (content, size) =>
        addEntry(context, file.name, file.mode, size, content),
      );
    }
  }
  context.finalize();
}

async function addEntry(
  context: Pack,
  name: string,
  mode: number,
  size: number,
  content: AsyncIterable<unknown>,
): Promise<void> {
  // The same bytes each time: the builder recognises an unchanged step.
  await pipeline(content, context.entry({ name, mode, size, mtime: new Date(0), uid: 0, gid: 0 }));
}
