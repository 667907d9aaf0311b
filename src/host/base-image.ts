/**
 * The base image, by one of two ways to the same packages.
 *
 * The registry comes first: it works for everyone who may use Docker, needs nothing installed on the host, and where
 * there is none it says so at once ("no such host", some 20 ms). Then Debian's own packages by mmdebstrap, which needs
 * root and apt but no registry of images.
 */
import { readFile } from 'node:fs/promises';
import type Dockerode from 'dockerode';
import { execa } from 'execa';
import { BottleError } from '../core/errors.ts';
import { proxyEnvironment } from './host-proxy-environment.ts';
import { buildImage, type ContextFile } from './image-build.ts';
import { failure, followLog, obtainImage } from './image-progress.ts';
import { IMAGE_LABEL } from './image-tags.ts';
import type { Arch, Pins } from './pins.ts';

/** Builds and tags the base image. @throws BottleError `IMAGE_BUILD_FAILED` when neither way is open */
export async function buildBase(
  docker: Dockerode,
  tag: string,
  pins: Pins['debian'],
  arch: Arch,
  report: (line: string) => void,
): Promise<void> {
  const debian = `debian:${pins.suite}-slim`;
  const refused = await obtainImage(docker, debian);
  if (refused === undefined) {
    report(`base image: from ${debian}`);
    await buildOn(docker, tag, debian, pins);
  } else if (canBootstrap(arch)) {
    report('base image: no registry of images answers, so from Debian packages by mmdebstrap');
    await bootstrapInto(docker, tag, pins);
  } else {
    throw new BottleError('IMAGE_BUILD_FAILED', `no base image: ${debian} cannot be pulled (${refused})`, {
      hint: `docker pull ${debian}, or docker load it; or run this once as root on Debian or Ubuntu`,
    });
  }
}

async function buildOn(docker: Dockerode, tag: string, debian: string, pins: Pins['debian']): Promise<void> {
  await buildImage(docker, {
    kind: 'base',
    tag,
    files: [await hostCa()],
    buildargs: { DEBIAN: debian, PACKAGES: pins.packages.join(' ') },
  });
}

/** The host's extra CA, as its Dockerfiles copy it: empty where there is none. */
export async function hostCa(): Promise<ContextFile> {
  const file = process.env['NODE_EXTRA_CA_CERTS'];
  return { name: 'host-ca.pem', content: file ? await readFile(file) : '' };
}

function canBootstrap(arch: Arch): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && process.arch === arch;
}

/** What the image leaves out: nobody reads manuals in a bottle. Licences stay. */
const LEFT_OUT = [
  'path-exclude=/usr/share/man/*',
  'path-exclude=/usr/share/info/*',
  'path-exclude=/usr/share/locale/*',
  'path-exclude=/usr/share/doc/*',
  'path-include=/usr/share/doc/*/copyright',
];

async function bootstrapInto(docker: Dockerode, tag: string, pins: Pins['debian']): Promise<void> {
  await ensureMmdebstrap();
  const mmdebstrap = execa(
    'mmdebstrap',
    [
      '--quiet',
      '--variant=apt',
      `--include=${pins.packages.join(',')}`,
      ...LEFT_OUT.map((option) => `--dpkgopt=${option}`),
      pins.suite,
      '-',
    ],
    { buffer: { stdout: false }, env: await proxyEnvironment(), stdin: 'ignore', reject: false },
  );
  // Imported without a name, and named only when mmdebstrap ended well: a half-made system is never taken for the image.
  const [imported, made] = await Promise.all([
    docker
      .importImage(mmdebstrap.stdout as NodeJS.ReadableStream, { changes: `LABEL ${IMAGE_LABEL}=base` })
      .then((log) => followLog(docker, log)),
    mmdebstrap,
  ]);
  const id = imported.at(-1)?.status ?? '';
  if (made.failed || !id.startsWith('sha256:')) {
    const said = [{ stream: made.stderr || made.shortMessage || id }];
    throw failure('mmdebstrap failed', said, 'it needs the package servers that apt uses');
  }
  const colon = tag.lastIndexOf(':');
  await docker.getImage(id).tag({ repo: tag.slice(0, colon), tag: tag.slice(colon + 1) });
}

async function ensureMmdebstrap(): Promise<void> {
  const found = await execa('mmdebstrap', ['--version'], { reject: false });
  if (!found.failed) return;
  const env = { ...(await proxyEnvironment()), DEBIAN_FRONTEND: 'noninteractive' };
  const apt = { env, stdin: 'ignore', reject: false } as const;
  await execa('apt-get', ['update', '-q'], apt);
  // The keyring matters on Ubuntu, whose own does not know Debian's packages.
  const packages = ['mmdebstrap', 'debian-archive-keyring'];
  const installed = await execa('apt-get', ['install', '--yes', '-q', '--no-install-recommends', ...packages], apt);
  if (!installed.failed) return;
  throw new BottleError('IMAGE_BUILD_FAILED', 'mmdebstrap is missing and apt cannot install it', {
    hint: 'apt-get install mmdebstrap',
  });
}
