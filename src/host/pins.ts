/**
 * The versions of everything that is not a plain dependency, from `images/pins.json`; Node's own version is the one of
 * the `node` dependency of development in package.json, so that the host and both images run the same. The one place a version stands:
 * scripts/bootstrap.mjs, which runs before TypeScript can, reads the same file.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from './package-root.ts';

export { packageRoot } from './package-root.ts';

/** Processor architecture in npm's words. */
export type Arch = 'x64' | 'arm64';

/** One npm package per architecture, with what its tarball must hash to. */
export interface PackagePin {
  /** Package name; in it and in the version, `{arch}` stands for {@link Arch}. */
  package: string;
  version: string;
  integrity: Record<Arch, string>;
}

/** An npm package that is the same on every architecture. */
export interface PlainPackagePin {
  version: string;
  integrity: string;
}

/** One Python wheel per host, by `<process.platform>-<process.arch>`, with what it must hash to. */
export interface WheelPin {
  package: string;
  version: string;
  /** `platform`: the wheel's own platform tag. */
  wheels: Record<string, { platform: string; sha256: string }>;
}

export interface Pins {
  tools: { temporal: { version: string; module: string }; smolvm: WheelPin };
  /** What runs inside the bundle: an image to take it from, or a Go module to build it from, where there is one. */
  programs: Record<'pipelock' | 'gitleaks', { version: string; member: string; image?: string; module?: string }>;
  debian: { suite: string; packages: string[] };
  /** What images of the kind `full` have beyond those of the kind `minimal`. */
  full: {
    debian: string[];
    /** By package name; images/tools/Dockerfile links their programs. */
    npm: Record<string, PlainPackagePin>;
    /** uv's wheels for Linux, by any of these hashes. */
    uv: { version: string; sha256: string[] };
  };
  node: PackagePin;
  claude: PackagePin;
  codex: PackagePin;
}

/** @param root the package's folder; another one in tests */
export async function readPins(root: string = packageRoot): Promise<Pins> {
  const pins = JSON.parse(await readFile(join(root, 'images/pins.json'), 'utf8')) as Pins;
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    devDependencies: { node: string };
  };
  return { ...pins, node: { ...pins.node, version: manifest.devDependencies.node } };
}
