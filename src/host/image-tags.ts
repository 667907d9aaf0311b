/**
 * The tags of the three images: `bottleworks/<kind>:<12 hex>`, a hash of all that goes in. A changed input is a new tag,
 * so an image that exists is the right one and nothing needs a "latest". Pure file reading, a few milliseconds: the
 * binaries (500 MB) are not read, their pinned integrity stands for them.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BottleError } from '../core/errors.ts';
import { BUNDLE_PROGRAMS, findProgram } from './bundle-programs.ts';
import { packageRoot, readPins } from './pins.ts';

export const IMAGE_KINDS = ['base', 'guest', 'bundle'] as const;
export type ImageKind = (typeof IMAGE_KINDS)[number];
export type ImageTags = Record<ImageKind, string>;

/** On every image of ours; its value is the {@link ImageKind}. */
export const IMAGE_LABEL = 'bottleworks.image';

/** Where the bundle's init lies after a build. */
export const initFile = (root: string = packageRoot): string => join(root, 'dist/bundle/init.js');

/**
 * The tags that this version of bottleworks needs.
 *
 * @param root the package's folder; another one in tests
 * @throws BottleError `IMAGE_MISSING` when the bundle's init has not been built
 */
export async function imageTags(root: string = packageRoot): Promise<ImageTags> {
  const [base, guest, bundle] = await Promise.all(IMAGE_KINDS.map((kind) => imageTag(kind, root)));
  return { base, guest, bundle } as ImageTags;
}

/** One of {@link imageTags}; base and guest do not need a build. */
export async function imageTag(kind: ImageKind, root: string = packageRoot): Promise<string> {
  const inputs = await inputsOf(kind, root);
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input);
  return `bottleworks/${kind}:${hash.digest('hex').slice(0, 12)}`;
}

async function inputsOf(kind: ImageKind, root: string): Promise<Array<string | Buffer>> {
  const pins = await readPins(root);
  const dockerfile = await readFile(join(root, 'images', kind, 'Dockerfile'));
  if (kind === 'base') return [dockerfile, JSON.stringify(pins.debian)];
  const shared = [dockerfile, await imageTag('base', root), JSON.stringify(pins.node)];
  if (kind === 'guest') return [...shared, JSON.stringify(pins.claude)];
  const programs = await Promise.all(BUNDLE_PROGRAMS.map((name) => findProgram(name)));
  return [...shared, await readInit(root), JSON.stringify(programs.map((found) => found?.digest ?? 'none'))];
}

async function readInit(root: string): Promise<Buffer> {
  try {
    return await readFile(initFile(root));
  } catch (cause) {
    throw new BottleError('IMAGE_MISSING', "the bundle's init has not been built", { hint: 'npm run build', cause });
  }
}
