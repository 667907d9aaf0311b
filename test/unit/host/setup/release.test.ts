/** Releases, from a host that is played: what comes of a good one, and of everything that may be wrong with one. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { obtainRelease, type Release } from '../../../../src/host/setup/release.ts';
import { httpProxy } from '../../../support/http-proxy.ts';
import { type ReleaseServer, startReleaseServer } from '../../../support/release-server.ts';

const RELEASE: Release = {
  name: 'tool',
  version: '1.2.3',
  repository: 'maker/tool',
  archive: 'tool_{version}_{os}_{arch}.tar.gz',
  checksums: 'tool_{version}_checksums.txt',
  arch: { x64: 'amd64', arm64: 'arm64' },
};
const FOLDER = '/maker/tool/releases/download/v1.2.3';
const ARCHIVE = `${FOLDER}/tool_1.2.3_linux_amd64.tar.gz`;
const SUMS = `${FOLDER}/tool_1.2.3_checksums.txt`;

let folder: string;
let server: ReleaseServer;
let said: string[];
let downloads: string | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-release-'));
  server = await startReleaseServer();
  said = [];
  downloads = undefined;
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

const offer = (archive = 'tool_1.2.3_linux_amd64.tar.gz', member = 'tool_1.2.3/tool'): void =>
  server.release({
    folder: FOLDER,
    archive,
    checksums: 'tool_1.2.3_checksums.txt',
    member,
    program: Buffer.from('#!/bin/sh\necho it works\n'),
  });

const obtain = (target = { platform: 'linux', arch: 'x64' }) =>
  obtainRelease(RELEASE, target, (line) => said.push(line), {
    BOTTLE_CACHE: folder,
    BOTTLE_HOME: folder,
    BOTTLE_DOWNLOADS: downloads ?? server.url,
    COMPANY_PASSWORD: 'p:w',
  });

/** What is left in the cache: the program, or nothing, half a download never. */
const left = () => readdir(join(folder, 'tools')).catch(() => []);

test('the program is in the cache, can be run, and it was said what was downloaded', async () => {
  offer();
  const program = await obtain();
  expect(program).toBe(join(folder, 'tools/tool-1.2.3/tool'));
  expect(await readFile(program, 'utf8')).toContain('it works');
  expect((await stat(program)).mode & 0o111).not.toBe(0);
  expect(said).toEqual([`downloading ${server.url}${ARCHIVE} (1 MB)`]);
  expect(await left()).toEqual(['tool-1.2.3']);
});

test('a Mac is given the archive for a Mac', async () => {
  offer('tool_1.2.3_darwin_arm64.tar.gz');
  await obtain({ platform: 'darwin', arch: 'arm64' });
  expect(server.asked).toEqual([SUMS, `${FOLDER}/tool_1.2.3_darwin_arm64.tar.gz`]);
});

test('two at once both have it', async () => {
  offer();
  const [one, other] = await Promise.all([obtain(), obtain()]);
  expect(one).toBe(other);
  expect(await left()).toEqual(['tool-1.2.3']);
});

test('another content than its checksum says is refused, and not kept', async () => {
  offer();
  server.files.set(ARCHIVE, Buffer.from('something else'));
  await expect(obtain()).rejects.toMatchObject({
    code: 'TOOL_MISSING',
    message: `${server.url}${ARCHIVE} is not what its checksum says`,
  });
  expect(await left()).toEqual([]);
});

test('half a download is refused, and not kept', async () => {
  offer();
  server.files.set(ARCHIVE, (response) => {
    response.writeHead(200, { 'content-length': 1_000_000 });
    response.write('half', () => response.destroy());
  });
  await expect(obtain()).rejects.toMatchObject({ code: 'TOOL_MISSING' });
  expect(await left()).toEqual([]);
});

test.each([
  ['the checksums', SUMS],
  ['the archive', ARCHIVE],
])('without %s, the address and the answer are told', async (_, path) => {
  offer();
  server.files.delete(path);
  await expect(obtain()).rejects.toMatchObject({ message: `${server.url}${path}: is answered with 404` });
});

test('a list of checksums that does not name the archive is none', async () => {
  offer();
  server.files.set(SUMS, Buffer.from('<html>not found</html>'));
  await expect(obtain()).rejects.toMatchObject({
    message: `${server.url}${SUMS} does not name tool_1.2.3_linux_amd64.tar.gz`,
  });
});

test('an archive without the program is refused', async () => {
  offer(undefined, 'something-else');
  await expect(obtain()).rejects.toMatchObject({ message: 'the archive of tool does not hold it' });
  expect(await left()).toEqual([]);
});

test('where nothing answers, the reason is told', async () => {
  const { url } = server;
  await server.close();
  await expect(obtain()).rejects.toMatchObject({ message: `${url}${SUMS}: ECONNREFUSED` });
  server = await startReleaseServer();
});

test('all of it goes by the proxy of config.yaml, with its login, and no more once there is none', async () => {
  const proxy = await httpProxy({ login: { username: 'me', password: 'p:w' } });
  try {
    // A name that nobody but the proxy knows.
    downloads = server.url.replace('127.0.0.1', 'releases.company.test');
    const url = `http://127.0.0.1:${proxy.upstream.port}`;
    const config = join(folder, 'config.yaml');
    await writeFile(config, `network: {proxy: {url: "${url}", username: me, password: env:COMPANY_PASSWORD}}`);
    offer();
    expect(await readFile(await obtain(), 'utf8')).toContain('it works');
    expect(server.asked).toEqual([SUMS, ARCHIVE]);
    const asked = [`CONNECT ${new URL(downloads).host}`];
    expect(proxy.asked).toEqual(asked);

    await rm(config);
    await expect(obtain()).rejects.toMatchObject({ message: expect.stringMatching(/: (ENOTFOUND|EAI_AGAIN)$/) });
    expect(proxy.asked).toEqual(asked);
  } finally {
    await proxy.close();
  }
});
