/** The disk of the emulated computer: Debian with a Docker Engine that has our images, and smolvm with its archives unpacked. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { connectDocker } from '../../src/host/docker.ts';
import { type ImageKind, imageTag } from '../../src/host/image-tags.ts';
import { imageSource } from '../../src/host/machine/smolvm/image.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { debianRoot } from '../engines/debian-root.ts';
import { carryImages, startEngine } from '../engines/engine.ts';
import { makeSmallMachine, SMALL_MACHINE } from './small-machine.ts';

const SUITE = 'trixie';
/** The computer's own, and QEMU, which runs from the same files outside. */
const PACKAGES = [
  ...['ca-certificates', 'e2fsprogs', 'git', 'iproute2', 'kmod', 'mount', 'procps', 'udev', 'util-linux'],
  ...['docker.io', 'iptables', 'libfaketime', 'linux-image-amd64', 'qemu-system-x86'],
];
const SIZE = '24G';
/** What is written here besides the packages; another number, another disk. */
const LAYOUT = 4;

/** What a machine of the tests is made from, and what stands for nothing. */
export const IMAGES = ['base', 'machine'] as const satisfies readonly ImageKind[];

/** In the emulated computer. The cache is where one is looked for when nothing else is said, as the tests' sites do. */
export const INSIDE = { cache: '/root/.cache/bottle', rootfs: '/opt/smolvm-rootfs' };

const INIT = `#!/bin/sh
mkdir -p /checkout /exchange
modprobe -a 9p 9pnet_virtio
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 checkout /checkout
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 exchange /exchange
exec sh /checkout/test/microvm/inside.sh
`;

export interface EmulatedDisk {
  /** A file that nobody may write to. */
  disk: string;
  kernel: string;
  initrd: string;
  /** Of the files that the disk was made from. */
  root: string;
}

/**
 * @param kept where disks are kept, each under what it is made of
 * @throws Error when this computer cannot make one
 */
export async function emulatedDisk(kept: string, report: (line: string) => void): Promise<EmulatedDisk> {
  report(`packages of ${SUITE}`);
  const root = await debianRoot({ suite: SUITE, packages: PACKAGES }, kept);
  const smolvm = path.dirname(realpathSync((await obtainSmolvm(report)).path));
  const tags = await Promise.all(IMAGES.map((each) => imageTag(each)));
  const made = [LAYOUT, SIZE, INIT, path.basename(root), path.basename(smolvm), ...tags].join('\n');
  const disk = path.join(kept, `disk-${createHash('sha256').update(made).digest('hex').slice(0, 12)}.img`);
  if (!existsSync(disk)) {
    // An older one is of no more use, and is some gigabytes.
    for (const name of readdirSync(kept))
      if (/^(disk-|making-disk-)/.test(name)) rmSync(path.join(kept, name), { recursive: true });
    report('making the disk');
    await makeDisk(disk, kept, { root, smolvm, tags });
  }
  return { disk, root, kernel: path.join(root, 'boot', `vmlinuz-${kernelVersion(root)}`), initrd: initrdOf(disk) };
}

const initrdOf = (disk: string): string => disk.replace(/img$/, 'initrd');

function kernelVersion(root: string): string {
  const [version] = readdirSync(path.join(root, 'usr/lib/modules'));
  if (version === undefined) throw new Error(`there is no kernel in ${root}`);
  return version;
}

async function makeDisk(
  disk: string,
  kept: string,
  { root, smolvm, tags }: { root: string; smolvm: string; tags: readonly string[] },
): Promise<void> {
  const making = await mkdtemp(path.join(kept, `making-disk-`));
  try {
    const all = path.join(making, 'all');
    // Links, which cost next to nothing; what is added is added beside them.
    await execa('cp', ['--archive', '--link', root, all]);
    writeFileSync(path.join(all, 'init-bottle'), INIT, { mode: 0o755 });
    mkdirSync(path.join(all, INSIDE.cache, 'tools'), { recursive: true });
    await copyProgram(smolvm, path.join(all, INSIDE.cache, 'tools', path.basename(smolvm)));
    mkdirSync(path.join(all, INSIDE.rootfs));
    await execa('tar', [
      '--zstd',
      '-xpf',
      path.join(smolvm, 'agent-rootfs.tar.zst'),
      '-C',
      path.join(all, INSIDE.rootfs),
    ]);
    await makeInitrd(all, initrdOf(disk));
    const cache = path.join(all, INSIDE.cache);
    const data = await dataOfAnEngine(root, path.join(making, 'engine'), { tags, cache });
    await rename(data, path.join(all, 'var/lib/docker'));
    const unnamed = path.join(making, 'disk.img');
    await execa('mke2fs', ['-q', '-t', 'ext4', '-E', 'lazy_itable_init=1', '-d', all, unnamed, SIZE]);
    await rename(unnamed, disk);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

/**
 * With the templates of its machines' disks unpacked beside it, as its first start does: 32 GB, of which next to nothing is
 * written, so a copy that does not know holes fills the computer's disk.
 */
async function copyProgram(smolvm: string, to: string): Promise<void> {
  await execa('cp', ['--archive', '--sparse=always', smolvm, to]);
  for (const name of readdirSync(to)) {
    const [, template] = /^(.*\.ext4)\.zst$/.exec(name) ?? [];
    if (template === undefined || existsSync(path.join(to, template))) continue;
    await execa('zstd', ['-dq', '--sparse', path.join(to, name), '-o', path.join(to, template)]);
  }
}

/** Of the modules that its disk needs, and no others: an emulated processor takes half a minute to unpack those of every computer. */
async function makeInitrd(all: string, file: string): Promise<void> {
  const [conf, made] = ['/etc/initramfs-of-disk', '/boot/initrd-of-disk'];
  mkdirSync(path.join(all, conf));
  writeFileSync(path.join(all, conf, 'initramfs.conf'), 'MODULES=list\nBUSYBOX=n\nCOMPRESS=zstd\n');
  writeFileSync(path.join(all, conf, 'modules'), 'ext4\nvirtio_blk\n');
  const make = `mount -t proc proc proc && exec chroot . mkinitramfs -d ${conf} -o ${made} ${kernelVersion(all)}`;
  await execa('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', make], { cwd: all, stdin: 'ignore' });
  await rename(path.join(all, made), file);
}

/**
 * What the same Engine keeps when it has these images, and a small one of the last, a machine's. The archive that the driver
 * would make of that is put into the cache: an emulated computer takes minutes for it.
 */
async function dataOfAnEngine(
  root: string,
  place: string,
  { tags, cache }: { tags: readonly string[]; cache: string },
): Promise<string> {
  mkdirSync(place);
  const kind = {
    name: 'microvm-disk',
    start: 'docker',
    suite: SUITE,
    packages: PACKAGES,
    expected: 'supported',
  } as const;
  const engine = await startEngine(kind, root, place);
  try {
    await carryImages(connectDocker(), engine, tags);
    await makeSmallMachine(engine.docker, tags.at(-1) as string);
    const archive = await imageSource({ docker: engine.docker, settings: { cache } }, SMALL_MACHINE);
    await archive.use(async () => undefined);
  } finally {
    await engine.stop();
  }
  return path.join(place, 'data/docker');
}
