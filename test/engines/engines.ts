/** The Engines that `npm run test:engines` brings up beside the one that is here, each from the packages of a Debian suite. */
import type { ImageKind } from '../../src/host/image-tags.ts';

const EVERYWHERE = ['ca-certificates', 'iproute2', 'mount', 'procps', 'util-linux'];
const DOCKER = [...EVERYWHERE, 'docker.io', 'iptables', 'rootlesskit', 'slirp4netns', 'uidmap'];
const PODMAN = [...EVERYWHERE, 'podman', 'netavark', 'aardvark-dns', 'crun', 'nftables', 'fuse-overlayfs', 'catatonit'];

export interface EngineKind {
  /** As it is asked for on the command line. */
  name: string;
  /** How namespaces.sh starts it. */
  start: 'docker' | 'rootless' | 'podman';
  suite: string;
  packages: readonly string[];
  /** `supported`: a bottle must work on it as on any; `refused`: `up` and `doctor` must say no to it. */
  expected: 'supported' | 'refused';
}

export const ENGINES: readonly EngineKind[] = [
  { name: 'docker-trixie', start: 'docker', suite: 'trixie', packages: DOCKER, expected: 'supported' },
  { name: 'docker-sid', start: 'docker', suite: 'sid', packages: DOCKER, expected: 'supported' },
  { name: 'rootless-sid', start: 'rootless', suite: 'sid', packages: DOCKER, expected: 'refused' },
  { name: 'podman-trixie', start: 'podman', suite: 'trixie', packages: PODMAN, expected: 'refused' },
];

/** What runs on each that a bottle must work on: what a machine is, what it cannot reach, and a launch's good and bad days. */
export const SUITES = [
  ...['engine-versions', 'isolation', 'machine', 'network', 'bundle'].map((name) => `test/integration/${name}.test.ts`),
  ...['happy-path', 'held', 'heal'].map((name) => `test/launch/${name}.test.ts`),
];

/** What they run on. Base is what a probe of the tests is made from. */
export const IMAGES = ['base', 'guest', 'guest-full', 'bundle'] as const satisfies readonly ImageKind[];

/** What runs on the others. */
export const REFUSALS = ['test/client/refused-engine.test.ts'];
