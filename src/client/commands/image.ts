/** `bottle image build` and `bottle image ls`: the images bottles are made from. */
import process from 'node:process';
import Table from 'cli-table3';
import { DEFAULT_IMAGE } from '../../core/manifest/fields.ts';
import { findProgram } from '../../host/bundle-programs.ts';
import { ensureCustomImage } from '../../host/custom-image.ts';
import { connectDocker, engine } from '../../host/docker.ts';
import { guestKind, imageTag, USUAL_KINDS } from '../../host/image-tags.ts';
import { ensureImages, type ImageView, listImages } from '../../host/images.ts';
import { makePlan } from '../../host/planning.ts';
import type { Context } from '../context.ts';
import { NO_PIPELOCK } from '../render/scanner.ts';
import { trimLines } from '../render/status-text.ts';
import { BORDERLESS } from '../render/table.ts';
import { clean, duration } from '../render/text.ts';

export async function build(
  { output, settings }: Context,
  agent: string | undefined,
  options: { force?: boolean },
): Promise<number> {
  const docker = connectDocker();
  const report = (line: string): void => output.note(clean(line));
  const force = options.force === true;
  if (agent === undefined) {
    await engine('build images', () => ensureImages(docker, { report, force }));
    await noteScanner(output);
    const tags = Object.fromEntries(await Promise.all(USUAL_KINDS.map(async (kind) => [kind, await imageTag(kind)])));
    output.result(tags, () => Object.values(tags).join('\n'));
    return 0;
  }
  const { plan } = await makePlan({ settings, launch: { agent, cwd: process.cwd() } });
  const { dockerfile, images, provider, stock } = plan;
  const guest = guestKind(provider.template, stock ?? DEFAULT_IMAGE);
  await engine('build images', async () => {
    // Of another's image, or a packed machine, nothing is ours to build.
    const kinds = [...(stock === null ? [] : [guest]), 'bundle'] as const;
    await ensureImages(docker, { report, force: force && dockerfile === null, kinds });
    if (dockerfile === null) return;
    const base = await imageTag(guest);
    await ensureCustomImage(docker, { dockerfile: dockerfile.file, tag: images.guest, base }, { report, force });
  });
  await noteScanner(output);
  output.result(images, () => Object.values(images).join('\n'));
  return 0;
}

/** Each installation has its own choice, so it is said which. */
async function noteScanner(output: Context['output']): Promise<void> {
  const found = await findProgram('pipelock');
  output.note(found === undefined ? NO_PIPELOCK : `scanner: pipelock, from ${clean(found.path)} (${found.source})`);
}

export async function ls({ output }: Context): Promise<number> {
  const images = await engine('list images', () => listImages(connectDocker()));
  if (images.length === 0 && !output.flags.json) output.note('no images yet; build them with: bottle image build');
  output.result(images, () => (images.length === 0 ? '' : imagesText(images, Date.now())));
  return 0;
}

/** @param now milliseconds since the epoch */
export function imagesText(images: readonly ImageView[], now: number): string {
  const table = new Table({ ...BORDERLESS, head: ['IMAGE', 'SIZE', 'BUILT', 'NEW BOTTLES', 'USED BY'] });
  for (const { tag, size, createdAt, current, usedBy } of images) {
    const age = `${duration(now - Date.parse(createdAt))} ago`;
    const users = usedBy.length === 0 ? '-' : usedBy.join(', ');
    table.push([clean(tag), `${Math.round(size / 1024 ** 2)} MiB`, age, current ? 'use it' : 'no', clean(users)]);
  }
  return trimLines(table.toString());
}
