/** The images bottle runs: a machine for each agent, in two sizes, and the bundle. Made here, pulled from nowhere of ours. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type Dockerode from 'dockerode';
import type { Scanner } from '../core/bundle-plans.ts';
import { BottleError } from '../core/errors.ts';
import { LABEL } from '../core/names.ts';
import { buildBase, hostCa } from './base-image.ts';
import { BUNDLE_PROGRAMS, findProgram, obtainProgram, PROGRAM_HINTS } from './bundle-programs.ts';
import { buildImage, type ContextFile } from './image-build.ts';
import {
  aptFile,
  BUILT_ON,
  IMAGE_LABEL,
  type ImageKind,
  imageTag,
  imageTags,
  initFile,
  USUAL_KINDS,
} from './image-tags.ts';
import { npmTarball, plainTarball } from './npm-package.ts';
import { type Arch, type Pins, readPins } from './pins.ts';

export { IMAGE_LABEL, type ImageKind, type ImageTags, imageTags } from './image-tags.ts';

export interface ImageView {
  kind: ImageKind;
  tag: string;
  /** Bytes on disk, shared layers included. */
  size: number;
  /** ISO 8601. */
  createdAt: string;
  /** Whether this version of bottleworks makes new bottles from it. */
  current: boolean;
  /** Bottles that were made from it and are there, of whatever installation; neither of both may go. */
  usedBy: string[];
}

/**
 * Builds what is missing, and what that is built on; side by side what does not stand on each other.
 *
 * @param options `report`: one line for each thing that takes time; `force`: build even what is there; `kinds`: others than
 *   those that most bottles need
 * @throws BottleError `IMAGE_BUILD_FAILED`, `IMAGE_MISSING` (no build of the bundle's init)
 */
export async function ensureImages(
  docker: Dockerode,
  options: { report: (line: string) => void; force?: boolean; kinds?: readonly ImageKind[] },
): Promise<void> {
  const missing = await missingKinds(docker, options.kinds ?? USUAL_KINDS, options.force === true);
  if (missing.size === 0) return;
  const site = { docker, pins: await readPins(), arch: await engineArch(docker), report: options.report };
  // Before the tag is made: which programs there are is a part of it.
  if (missing.has('bundle')) {
    for (const name of BUNDLE_PROGRAMS) await obtainProgram(docker, name, site.arch, options.report);
  }
  await buildTogether(site, missing);
}

/** What is to be built: of what is asked for that which is not there, and of what these stand on likewise. */
async function missingKinds(
  docker: Dockerode,
  kinds: readonly ImageKind[],
  force: boolean,
  known: Set<ImageKind> = new Set(),
): Promise<Set<ImageKind>> {
  for (const kind of kinds) {
    if (known.has(kind) || (!force && (await imageExists(docker, await imageTag(kind))))) continue;
    known.add(kind);
    if (kind !== 'base') await missingKinds(docker, [BUILT_ON[kind]], force, known);
  }
  return known;
}

/** Each as soon as that is there which it stands on. The first failure is told once nothing is under way any more. */
async function buildTogether(site: Site, kinds: ReadonlySet<ImageKind>): Promise<void> {
  const building = new Map<ImageKind, Promise<void>>();
  const ensure = (kind: ImageKind): Promise<void> => {
    if (!kinds.has(kind)) return Promise.resolve();
    const started =
      building.get(kind) ??
      (kind === 'base' ? Promise.resolve() : ensure(BUILT_ON[kind])).then(() => build(site, kind));
    building.set(kind, started);
    return started;
  };
  const ended = await Promise.allSettled([...kinds].map(ensure));
  const failed = ended.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** What stands at the way out of a bundle from the image that is current now. */
export async function imageScanner(): Promise<Scanner> {
  return (await findProgram('pipelock')) === undefined ? 'allow-list' : 'pipelock';
}

/** Our images on this Engine, old ones too, newest first. */
export async function listImages(docker: Dockerode): Promise<ImageView[]> {
  const wanted = new Set<string>(Object.values(await imageTags()));
  const [images, containers] = await Promise.all([
    docker.listImages({ filters: { label: [IMAGE_LABEL] } }),
    docker.listContainers({ all: true, filters: { label: [LABEL.bottle] } }),
  ]);
  // By what they are, not by what they were called: a tag may have gone to another since.
  const users = (id: string): string[] =>
    containers.filter(({ ImageID }) => ImageID === id).map(({ Labels }) => Labels[LABEL.bottle] ?? '');
  const views = images.flatMap((image) =>
    (image.RepoTags ?? [])
      .filter((tag) => tag.startsWith('bottleworks/'))
      .map((tag) => ({
        kind: image.Labels[IMAGE_LABEL] as ImageKind,
        tag,
        size: image.Size,
        createdAt: new Date(image.Created * 1000).toISOString(),
        current: wanted.has(tag),
        usedBy: [...new Set(users(image.Id))].sort(),
      })),
  );
  return views.sort((a, b) => b.createdAt.localeCompare(a.createdAt));
}

interface Site {
  docker: Dockerode;
  pins: Pins;
  arch: Arch;
  report: (line: string) => void;
}

async function build(site: Site, kind: ImageKind): Promise<void> {
  const tag = await imageTag(kind);
  if (kind === 'base') return buildBase(site.docker, tag, site.pins.debian, site.arch, site.report);

  const files = await OWN_FILES[kind](site);
  site.report(`${kind} image: building`);
  const own = kind === 'tools' ? toolsArguments(site.pins) : {};
  await buildImage(site.docker, { kind, tag, files, buildargs: { BASE: await imageTag(BUILT_ON[kind]), ...own } });
}

/** What a Dockerfile copies. */
const OWN_FILES: Record<Exclude<ImageKind, 'base'>, (site: Site) => Promise<ContextFile[]>> = {
  node: async (site) => [await nodeFile(site)],
  machine: async () => [{ name: 'apt', mode: 0o755, content: await readFile(aptFile()) }],
  tools: toolsFiles,
  guest: claudeFiles,
  codex: codexFiles,
  'guest-full': claudeFiles,
  'codex-full': codexFiles,
  bundle: bundleFiles,
};

/** Node's headers, with which npm builds native modules: but those for other systems than the image's, 55 MB. */
const HEADERS = /^include\/node\/(?!openssl\/archs\/(?!linux-x86_64\/|linux-aarch64\/))/;

async function toolsFiles({ pins, arch, report }: Site): Promise<ContextFile[]> {
  const headers: ContextFile = {
    folder: 'node',
    tarball: await npmTarball(pins.node, arch, report),
    isWanted: (path) => HEADERS.test(path),
  };
  const packages = await Promise.all(
    Object.entries(pins.full.npm).map(
      async ([name, pin]): Promise<ContextFile> => ({
        folder: `node_modules/${name}`,
        tarball: await plainTarball(name, pin, report),
      }),
    ),
  );
  return [await hostCa(), headers, ...packages];
}

function toolsArguments({ full }: Pins): Record<string, string> {
  const index = process.env['PIP_INDEX_URL'] || process.env['UV_DEFAULT_INDEX'] || process.env['UV_INDEX_URL'];
  return {
    PACKAGES: full.debian.join(' '),
    UV: [`uv==${full.uv.version}`, ...full.uv.sha256.map((hash) => `--hash=sha256:${hash}`)].join(' '),
    ...(index ? { PIP_INDEX_URL: index } : {}),
  };
}

async function claudeFiles({ pins, arch, report }: Site): Promise<ContextFile[]> {
  const tarball = await npmTarball(pins.claude, arch, report);
  return [{ name: 'claude', mode: 0o755, tarball, member: 'claude' }];
}

/** How the vendor of Codex names the architectures. */
const RUST_TARGETS: Record<Arch, string> = { x64: 'x86_64-unknown-linux-musl', arm64: 'aarch64-unknown-linux-musl' };

/**
 * Measured with 0.169.0: without `codex-code-mode-host` beside it every tool call fails, and it prefers `rg` where
 * there is one. Left out are what speaks aloud (60 MB), and the `bwrap` of its own sandbox, which needs user namespaces
 * that a machine has not: the machine is the sandbox.
 */
async function codexFiles({ pins, arch, report }: Site): Promise<ContextFile[]> {
  const tarball = await npmTarball(pins.codex, arch, report);
  const members = ['bin/codex', 'bin/codex-code-mode-host', 'codex-path/rg'];
  return members.map((member) => ({
    name: basename(member),
    mode: 0o755,
    tarball,
    member: `vendor/${RUST_TARGETS[arch]}/${member}`,
  }));
}

async function bundleFiles(site: Site): Promise<ContextFile[]> {
  const programs = await Promise.all(
    BUNDLE_PROGRAMS.map(async (name): Promise<ContextFile> => {
      const found = await findProgram(name, site.arch);
      // An empty file is removed by the Dockerfile: its COPY knows no conditions.
      return { name, mode: 0o755, content: found === undefined ? '' : await readFile(found.path) };
    }),
  );
  return [...programs, { name: 'init.js', content: await readFile(initFile()) }];
}

async function nodeFile({ pins, arch, report }: Site): Promise<ContextFile> {
  return { name: 'node', mode: 0o755, tarball: await npmTarball(pins.node, arch, report), member: 'bin/node' };
}

/** Whether an image of that tag is on this Engine. */
export async function imageExists(docker: Dockerode, tag: string): Promise<boolean> {
  try {
    await docker.getImage(tag).inspect();
    return true;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return false;
    throw error;
  }
}

/** The Engine's architecture, which need not be this process's. */
async function engineArch(docker: Dockerode): Promise<Arch> {
  const { Arch: arch } = await docker.version();
  if (arch === 'amd64') return 'x64';
  if (arch === 'arm64') return 'arm64';
  throw new BottleError('IMAGE_BUILD_FAILED', `no images for the Docker Engine's architecture ${arch}`, {
    hint: 'amd64 and arm64 are known',
  });
}

/**
 * Makes sure that images are on this Engine before anything is built from them.
 * @param agent whose they are
 * @throws BottleError `IMAGE_MISSING`
 */
export async function assertImages(docker: Dockerode, tags: readonly string[], agent: string): Promise<void> {
  await Promise.all(
    tags.map(async (tag) => {
      if (await imageExists(docker, tag)) return;
      throw new BottleError('IMAGE_MISSING', `the image ${tag} is not on this host`, {
        hint: tag.startsWith('bottleworks/') ? `bottle image build ${agent}` : `docker pull ${tag}, or docker load it`,
      });
    }),
  );
}

/**
 * A push gate that cannot look for secrets is none.
 * @throws BottleError `TOOL_MISSING`
 */
export async function assertGitleaks(): Promise<void> {
  if ((await findProgram('gitleaks')) !== undefined) return;
  throw new BottleError(
    'TOOL_MISSING',
    'the manifest names repositories, and the bundle has no gitleaks to scan pushes',
    {
      hint: PROGRAM_HINTS.gitleaks,
    },
  );
}
