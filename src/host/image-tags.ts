/**
 * The tags of our images: `bottleworks/<kind>:<12 hex>`, a hash of all that goes in. A changed input is a new tag,
 * so an image that exists is the right one and nothing needs a "latest". Pure file reading, a few milliseconds: the
 * binaries (1 GB) are not read, their pinned integrity stands for them.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BottleError } from '../core/errors.ts';
import type { StockImage } from '../core/manifest/fields.ts';
import type { Template } from '../core/providers/provider.ts';
import { BUNDLE_PROGRAMS, findProgram } from './bundle-programs.ts';
import { packageRoot, readPins } from './pins.ts';

/**
 * A machine with Claude Code is `guest`, one with Codex `codex`; `-full` has what an agent reaches for besides. Each kind
 * stands on another, so that what they share is there once: `base` (Debian), `node`, `machine`, and for `-full` `tools`.
 */
export const IMAGE_KINDS = [
  'base',
  'node',
  'machine',
  'tools',
  'guest',
  'codex',
  'guest-full',
  'codex-full',
  'bundle',
] as const;
export type ImageKind = (typeof IMAGE_KINDS)[number];
export type ImageTags = Record<ImageKind, string>;

/** What a kind is built on; base is built on nothing of ours. */
export const BUILT_ON: Record<Exclude<ImageKind, 'base'>, ImageKind> = {
  node: 'base',
  machine: 'node',
  tools: 'machine',
  guest: 'machine',
  codex: 'machine',
  'guest-full': 'tools',
  'codex-full': 'tools',
  bundle: 'node',
};

/** What bottles need that say nothing of their image; the other kinds are built when they are asked for. */
export const USUAL_KINDS = ['guest-full', 'codex-full', 'bundle'] as const satisfies readonly ImageKind[];

/** The image that holds an agent's program, of the size that the manifest says. */
export const guestKind = (template: Template, size: StockImage): ImageKind =>
  `${template === 'claude' ? 'guest' : template}${size === 'full' ? '-full' : ''}`;

/** On every image of ours; its value is the {@link ImageKind}. */
export const IMAGE_LABEL = 'bottleworks.image';

/** One for both sizes of a machine: they differ in what they are built on. */
export const dockerfileOf = (kind: string, root: string = packageRoot): string =>
  join(root, 'images', kind.replace(/-full$/, ''), 'Dockerfile');

/** What stands before apt in a machine. */
export const aptFile = (root: string = packageRoot): string => join(root, 'images/machine/apt');

/** Where the bundle's init lies after a build. */
export const initFile = (root: string = packageRoot): string => join(root, 'dist/bundle/init.js');

/**
 * The tags that this version of bottleworks needs.
 *
 * @param root the package's folder; another one in tests
 * @throws BottleError `IMAGE_MISSING` when the bundle's init has not been built
 */
export async function imageTags(root: string = packageRoot): Promise<ImageTags> {
  const tags = await Promise.all(IMAGE_KINDS.map(async (kind) => [kind, await imageTag(kind, root)] as const));
  return Object.fromEntries(tags) as ImageTags;
}

/** One of {@link imageTags}; only the bundle's needs a build. */
export async function imageTag(kind: ImageKind, root: string = packageRoot): Promise<string> {
  const inputs = await inputsOf(kind, root);
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input);
  return `bottleworks/${kind}:${hash.digest('hex').slice(0, 12)}`;
}

async function inputsOf(kind: ImageKind, root: string): Promise<Array<string | Buffer>> {
  const pins = await readPins(root);
  const dockerfile = await readFile(dockerfileOf(kind, root));
  if (kind === 'base') return [dockerfile, JSON.stringify(pins.debian)];
  const shared = [dockerfile, await imageTag(BUILT_ON[kind], root)];
  if (kind === 'node') return [...shared, JSON.stringify(pins.node)];
  if (kind === 'machine') return [...shared, await readFile(aptFile(root))];
  if (kind === 'tools') return [...shared, JSON.stringify(pins.full)];
  if (kind === 'guest' || kind === 'guest-full') return [...shared, JSON.stringify(pins.claude)];
  if (kind === 'codex' || kind === 'codex-full') return [...shared, JSON.stringify(pins.codex)];
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
