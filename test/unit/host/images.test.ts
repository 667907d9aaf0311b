import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { imageTag, imageTags } from '../../../src/host/image-tags.ts';
import { ensureImages } from '../../../src/host/images.ts';
import { npmTarball, withMember } from '../../../src/host/npm-package.ts';
import { type PackagePin, packageRoot } from '../../../src/host/pins.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-images-'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** A copy of what the tags are made from, free to be changed. */
async function copyOfInputs(): Promise<void> {
  await cp(join(packageRoot, 'images'), join(folder, 'images'), { recursive: true });
  await cp(join(packageRoot, 'package.json'), join(folder, 'package.json'));
  await mkdir(join(folder, 'dist/bundle'), { recursive: true });
  await writeFile(join(folder, 'dist/bundle/init.js'), '// init');
}

async function change(file: string, from: RegExp | string, to: string): Promise<void> {
  const before = await readFile(join(folder, file), 'utf8');
  const after = before.replace(from, to);
  expect(after).not.toBe(before);
  await writeFile(join(folder, file), after);
}

/** The kinds whose tag is another one after `act`. */
async function changedBy(act: () => Promise<void>): Promise<string[]> {
  const before = Object.values(await imageTags(folder));
  await act();
  const after = Object.values(await imageTags(folder));
  return after.filter((tag) => !before.includes(tag)).map((tag) => tag.replace(/^bottleworks\/(.*):.*$/, '$1'));
}

const FULL = ['tools', 'guest-full', 'codex-full'];
const MACHINES = ['machine', 'tools', 'guest', 'codex', 'guest-full', 'codex-full'];

describe('image tags', () => {
  beforeEach(copyOfInputs);

  test('name the kind and twelve hex digits', async () => {
    const tags = await imageTags(folder);
    expect(tags.base).toMatch(/^bottleworks\/base:[0-9a-f]{12}$/);
    expect(tags.guest).toMatch(/^bottleworks\/guest:[0-9a-f]{12}$/);
    expect(tags.codex).toMatch(/^bottleworks\/codex:[0-9a-f]{12}$/);
    expect(tags.bundle).toMatch(/^bottleworks\/bundle:[0-9a-f]{12}$/);
  });

  test('are the same for the same inputs, wherever these lie', async () => {
    const other = join(folder, 'elsewhere');
    for (const part of ['images', 'package.json', 'dist']) {
      await cp(join(folder, part), join(other, part), { recursive: true });
    }
    expect(await imageTags(other)).toEqual(await imageTags(folder));
  });

  test.each([
    ["the bundle's init", ['bundle'], 'dist/bundle/init.js', /$/, ' changed'],
    ['Claude Code', ['guest', 'guest-full'], 'images/pins.json', /(claude-code[\s\S]*?"version": ")[^"]*/, '$19.9.9'],
    [
      "Claude Code's content",
      ['guest', 'guest-full'],
      'images/pins.json',
      /(claude-code[\s\S]*?"x64": ")[^"]*/,
      '$1sha512-other',
    ],
    [
      'Codex',
      ['codex', 'codex-full'],
      'images/pins.json',
      /(openai\/codex[\s\S]*?"version": ")[^"]*/,
      '$19.9.9-linux-{arch}',
    ],
    [
      "Codex's content",
      ['codex', 'codex-full'],
      'images/pins.json',
      /(openai\/codex[\s\S]*?"arm64": ")[^"]*/,
      '$1sha512-other',
    ],
    ["the guest's Dockerfile", ['guest', 'guest-full'], 'images/guest/Dockerfile', /$/, '\n# changed\n'],
    ["Codex's Dockerfile", ['codex', 'codex-full'], 'images/codex/Dockerfile', /$/, '\n# changed\n'],
    ['a tool of the full image', FULL, 'images/pins.json', /"jq",\s*/, ''],
    ['the version of uv', FULL, 'images/pins.json', /("uv": \{\s*"version": ")[^"]*/, '$19.9.9'],
    ['what stands before apt', MACHINES, 'images/machine/apt', /$/, '# changed\n'],
    ['the version of Node', ['node', ...MACHINES, 'bundle'], 'package.json', /("node": ")\d[^"]*/, '$124.99.0'],
    ['a Debian package', ['base', 'node', ...MACHINES, 'bundle'], 'images/pins.json', /"curl",\s*/, ''],
  ])('%s changes %j', async (_what, kinds, file, from, to) => {
    expect(await changedBy(() => change(file, from, to))).toEqual(kinds);
  });

  test("without a build only the bundle's is unknown, and the error says what to do", async () => {
    const { base, guest, codex } = await imageTags(folder);
    await rm(join(folder, 'dist'), { recursive: true });
    const known = ['base', 'guest', 'codex'] as const;
    expect(await Promise.all(known.map((kind) => imageTag(kind, folder)))).toEqual([base, guest, codex]);
    await expect(imageTags(folder)).rejects.toMatchObject({ code: 'IMAGE_MISSING', hint: 'npm run build' });
  });
});

describe('ensuring images', () => {
  test('asks the Engine about each and builds nothing when all are there', async () => {
    const asked: string[] = [];
    const docker = {
      getImage: (tag: string) => ({ inspect: async () => void asked.push(tag) }),
    } as unknown as Dockerode;
    await ensureImages(docker, { report: () => undefined, kinds: ['base', 'guest-full'] });
    expect(asked).toEqual([await imageTag('base'), await imageTag('guest-full')]);
  });

  test('does not take an Engine that fails for one without the image', async () => {
    const down = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const docker = { getImage: () => ({ inspect: () => Promise.reject(down) }) } as unknown as Dockerode;
    await expect(ensureImages(docker, { report: () => undefined, kinds: ['base'] })).rejects.toBe(down);
  });

  test.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)(
    'a base system that was only half made gets no tag (as root on Linux)',
    async () => {
      await fakeProgram(
        'mmdebstrap',
        'case $1 in --version) exit 0;; esac; echo half; echo "no such suite" >&2; exit 25',
      );
      const tag = vi.fn();
      const docker = {
        version: async () => ({ Arch: process.arch === 'x64' ? 'amd64' : 'arm64' }),
        getImage: () => ({ inspect: () => Promise.reject(Object.assign(new Error('no'), { statusCode: 404 })), tag }),
        pull: () => Promise.reject(new Error('no such host')),
        importImage: async (tar: Readable) => {
          expect(await text(tar)).toBe('half\n');
          return new PassThrough();
        },
        modem: {
          followProgress: (_log: unknown, done: (...args: unknown[]) => void) => done(null, [{ status: 'sha256:1' }]),
        },
      } as unknown as Dockerode;
      await expect(ensureImages(docker, { report: () => undefined, kinds: ['base'] })).rejects.toMatchObject({
        code: 'IMAGE_BUILD_FAILED',
        message: 'mmdebstrap failed: no such suite',
      });
      expect(tag).not.toHaveBeenCalled();
    },
  );
});

describe('npm packages', () => {
  test('one member is read out of a tarball', async () => {
    const tarball = await makeTarball({ 'package/README.md': 'hello', 'package/bin/node': 'binary' });
    const seen: unknown[] = [];
    await withMember(tarball, 'bin/node', async (content, size) => {
      seen.push(await text(Readable.from(content)), size);
    });
    expect(seen).toEqual(['binary', 6]);
  });

  test('a member that is not there is an error', async () => {
    const tarball = await makeTarball({ 'package/README.md': 'hello' });
    await expect(withMember(tarball, 'bin/node', async () => undefined)).rejects.toMatchObject({
      code: 'IMAGE_BUILD_FAILED',
    });
  });

  test('a tarball is fetched once, and only kept when it is the pinned one', async () => {
    const tarball = await makeTarball({ 'package/claude': 'binary' });
    vi.stubEnv('BOTTLE_CACHE', join(folder, 'cache'));
    // npm pack SPEC --silent --pack-destination FOLDER
    await fakeProgram('npm', `cp ${tarball} "$5/it.tgz" && echo it.tgz && echo "$2" >> ${folder}/fetched`);
    const good = `sha512-${createHash('sha512')
      .update(await readFile(tarball))
      .digest('base64')}`;
    const pin = (x64: string): PackagePin => ({
      package: '@some/agent-{arch}',
      version: '1.0.0',
      integrity: { x64, arm64: '' },
    });
    const byVersion = { ...pin(good), package: '@some/agent', version: '1.0.0-{arch}' };
    const said: string[] = [];

    await expect(npmTarball(pin('sha512-other'), 'x64', (line) => said.push(line))).rejects.toMatchObject({
      code: 'IMAGE_BUILD_FAILED',
      message: '@some/agent-x64@1.0.0 is not what images/pins.json says it is',
    });
    const file = await npmTarball(pin(good), 'x64', (line) => said.push(line));
    expect(await npmTarball(pin(good), 'x64', (line) => said.push(line))).toBe(file);
    // Some packages have the architecture in their version.
    expect(await npmTarball(byVersion, 'x64', (line) => said.push(line))).toMatch(/\/some-agent-1\.0\.0-x64\.tgz$/);

    const fetched = ['@some/agent-x64@1.0.0', '@some/agent-x64@1.0.0', '@some/agent@1.0.0-x64'];
    expect(await readFile(join(folder, 'fetched'), 'utf8')).toBe(`${fetched.join('\n')}\n`);
    expect(said).toEqual(fetched.map((spec) => `downloading ${spec}`));
  });
});

async function makeTarball(files: Record<string, string>): Promise<string> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const tarball = join(folder, 'package.tgz');
  await pipeline(tar, createGzip(), createWriteStream(tarball));
  return tarball;
}

/** Puts a shell script first on PATH for this test. */
async function fakeProgram(name: string, script: string): Promise<void> {
  await mkdir(join(folder, 'bin'), { recursive: true });
  await writeFile(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  vi.stubEnv('PATH', `${join(folder, 'bin')}:${process.env['PATH']}`);
}
