import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { extract, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { GUEST } from '../../../src/core/plan.ts';
import { assertWorkspaceFolder } from '../../../src/host/workspace.ts';
import { workspaceArchive } from '../../../src/host/workspace-archive.ts';
import { MOST, type WorkspaceEntries, workspaceEntries } from '../../../src/host/workspace-entries.ts';

let outside: string;
let folder: string;
beforeEach(() => {
  outside = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'bottle-workspace-')));
  folder = path.join(outside, 'work');
  mkdirSync(folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(outside, { recursive: true, force: true });
});

const never = new AbortController().signal;
const at = (file: string): string => path.join(folder, file);

function write(file: string, content: string | Buffer = 'x', mode = 0o644): string {
  mkdirSync(path.dirname(at(file)), { recursive: true });
  writeFileSync(at(file), content);
  chmodSync(at(file), mode);
  return at(file);
}
const link = (target: string, file: string): void => symlinkSync(target, at(file));
const survey = (gitignore = false, signal = never): Promise<WorkspaceEntries> =>
  workspaceEntries(folder, { gitignore }, signal);
const paths = async (gitignore = false): Promise<string[]> =>
  (await survey(gitignore)).entries.map((entry) => entry.path).sort();

interface Member {
  header: Header;
  content: Buffer;
}
/** What is in the archive, by path below the folder; without the folder itself and the last entry. */
async function unpack(stream: Readable): Promise<Map<string, Member>> {
  const members = new Map<string, Member>();
  const tar = extract();
  stream.on('error', (error) => tar.destroy(error));
  stream.pipe(tar as unknown as NodeJS.WritableStream);
  for await (const entry of tar) members.set(entry.header.name, { header: entry.header, content: await buffer(entry) });
  expect([...members.keys()].at(0)).toBe('content');
  expect([...members.keys()].at(-1)).toBe('end');
  members.delete('content');
  members.delete('end');
  return new Map([...members].map(([name, member]) => [name.replace(/^content\//, ''), member]));
}
const archived = async (found?: WorkspaceEntries): Promise<Map<string, Member>> =>
  unpack(workspaceArchive(found ?? (await survey()), false).stream);

describe('a working folder', () => {
  const home = (): string => path.join(outside, 'home/me');
  beforeEach(() => mkdirSync(home(), { recursive: true }));

  test('may be any folder, in the home or out of it, with a name that begins with dots too', async () => {
    for (const name of ['work', 'home/me/project', 'home/me/..project', 'home/other']) {
      mkdirSync(path.join(outside, name), { recursive: true });
      await assertWorkspaceFolder(path.join(outside, name), home());
    }
    symlinkSync(folder, path.join(outside, 'link'));
    await assertWorkspaceFolder(path.join(outside, 'link'), home());
  });

  test('may not hold a home whose name begins with dots either', async () => {
    const dots = path.join(home(), '..me');
    mkdirSync(dots);
    await expect(assertWorkspaceFolder(home(), dots)).rejects.toMatchObject({ code: 'USAGE' });
  });

  test.each([
    ['work', /must be an absolute path, not "work"/],
    ['OUTSIDE/nowhere', /nowhere cannot be found: ENOENT/],
    ['OUTSIDE/file', /file is not a folder/],
    ['OUTSIDE/home/me', /is your whole home folder/],
    ['OUTSIDE/home/me/../me/', /is your whole home folder/],
    ['OUTSIDE/to-home', /is your whole home folder/],
    ['OUTSIDE/home', /holds your whole home folder/],
    ['/', /holds your whole home folder/],
  ])('is not %s', async (given, message) => {
    writeFileSync(path.join(outside, 'file'), 'x');
    symlinkSync(home(), path.join(outside, 'to-home'));
    await expect(assertWorkspaceFolder(given.replace('OUTSIDE', outside), home())).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(message),
      hint: 'change to the folder of one project, then retry',
    });
  });
});

describe('the entries of a working folder', () => {
  test('are all that is in it, hidden and empty things included, each directory before what is in it', async () => {
    write('b/.hidden/deep/note');
    write('a', '12345');
    mkdirSync(at('empty'));
    const { entries, bytes, skipped } = await survey();
    expect(entries.map((entry) => entry.path).sort()).toEqual([
      'a',
      'b',
      'b/.hidden',
      'b/.hidden/deep',
      'b/.hidden/deep/note',
      'empty',
    ]);
    const order = entries.map((entry) => entry.path);
    for (const each of order.filter((name) => name.includes('/')))
      expect(order.indexOf(path.dirname(each))).toBeLessThan(order.indexOf(each));
    expect({ bytes, skipped }).toEqual({ bytes: 6, skipped: 0 });
  });

  test('of an empty folder are none', async () => {
    expect(await survey()).toEqual({ root: folder, entries: [], bytes: 0, skipped: 0 });
    expect((await survey(true)).entries).toEqual([]);
    expect(await archived()).toEqual(new Map());
  });

  test('keep links as they are written, wherever they lead, and do not follow them', async () => {
    write('real/file');
    mkdirSync(path.join(outside, 'secret'));
    writeFileSync(path.join(outside, 'secret/key'), 'secret');
    link('real', 'folder');
    link('../secret', 'out');
    link('nowhere', 'dangling');
    link('.', 'circle');
    link('/etc', 'absolute');
    for (const gitignore of [false, true]) {
      const { entries } = await survey(gitignore);
      expect(
        entries.flatMap(({ path: name, target }) => (target === undefined ? [] : `${name} ${target}`)).sort(),
      ).toEqual(['absolute /etc', 'circle .', 'dangling nowhere', 'folder real', 'out ../secret']);
      expect(entries).toHaveLength(7);
    }
  });

  test('of a folder that is given as a link are those of the folder', async () => {
    write('file');
    symlinkSync(folder, path.join(outside, 'link'));
    const { root, entries } = await workspaceEntries(path.join(outside, 'link'), { gitignore: false }, never);
    expect([root, entries.map((entry) => entry.path)]).toEqual([folder, ['file']]);
  });

  test('do not hold sockets and fifos, which are counted', async () => {
    write('file');
    execFileSync('mkfifo', [at('pipe'), at('another')]);
    const server = createServer().listen(at('socket'));
    await expect.poll(() => readdirSync(folder)).toContain('socket');
    try {
      expect(await survey()).toMatchObject({ skipped: 3, entries: [{ path: 'file' }] });
    } finally {
      server.close();
    }
  });

  test('may be read no more once the signal says so', async () => {
    write('file');
    const stopped = AbortSignal.abort(new Error('enough'));
    await expect(survey(false, stopped)).rejects.toThrow('enough');
    await expect(survey(true, stopped)).rejects.toThrow('enough');
  });

  test('may be 2 GiB of content in all, and not a byte more', async () => {
    truncateSync(write('large'), 1024 ** 3);
    truncateSync(write('larger'), 1024 ** 3);
    expect(await survey()).toMatchObject({ bytes: 2 * 1024 ** 3 });
    write('last', '1');
    await expect(survey()).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      retryable: false,
      message: `the working folder ${folder} holds more than 2 GiB`,
      hint: 'leave out what git ignores with --gitignore, or start in a smaller folder',
    });
    await expect(survey(true)).rejects.toMatchObject({ hint: 'start in a smaller folder' });
    write('.gitignore', 'larger\n');
    expect(await survey(true)).toMatchObject({ bytes: 1024 ** 3 + 8 });
  });

  test('may be 200,000, and not one more than may be', async () => {
    expect(MOST.entries).toBe(200_000);
    for (let n = 0; n < 1000; n += 1) write(`many/${n}`);
    const upTo = (entries: number, gitignore: boolean) =>
      workspaceEntries(folder, { gitignore }, never, { ...MOST, entries });
    for (const gitignore of [false, true]) {
      expect((await upTo(1001, gitignore)).entries).toHaveLength(1001);
      await expect(upTo(1000, gitignore)).rejects.toMatchObject({
        code: 'PROVISION_FAILED',
        retryable: false,
        message: `the working folder ${folder} holds more than 1,000 files and folders`,
      });
    }
  });

  test('that cannot be read are named', async () => {
    // Deeper than a path may be long: root, too, is refused.
    const deep = Array(15).fill('d'.repeat(200)).join('/');
    mkdirSync(at(deep), { recursive: true });
    mkdirSync(path.join(outside, 'deeper', deep), { recursive: true });
    renameSync(path.join(outside, 'deeper'), path.join(at(deep), 'deeper'));
    await expect(survey()).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      retryable: false,
      message: expect.stringMatching(/^cannot read .*\/d+…?/),
      hint: expect.stringContaining('--gitignore'),
    });
    renameSync(path.join(at(deep), 'deeper'), path.join(outside, 'deeper'));
  });

  test.skipIf(process.platform !== 'linux')('whose name is not UTF-8 are refused, with and without git', async () => {
    write('sub/fine');
    writeFileSync(Buffer.concat([Buffer.from(at('sub/bad-')), Buffer.from([0xff])]), 'x');
    const refusal = {
      code: 'PROVISION_FAILED',
      retryable: false,
      message: expect.stringMatching(/sub\/?.*bad-\ufffd/),
    };
    await expect(survey()).rejects.toMatchObject(refusal);
    await expect(survey(true)).rejects.toMatchObject(refusal);
    write('.gitignore', 'bad*');
    expect(await paths(true)).toEqual(['.gitignore', 'sub', 'sub/fine']);
  });

  test.skipIf(process.platform !== 'linux')('that are links to a name that is not UTF-8 are refused', async () => {
    symlinkSync(Buffer.from([0x61, 0xff]), at('link'));
    await expect(survey()).rejects.toMatchObject({ code: 'PROVISION_FAILED', retryable: false });
  });
});

describe('the entries that git does not ignore', () => {
  const git = (where: string, ...argv: string[]): string =>
    execFileSync(
      'git',
      ['-c', 'user.name=A', '-c', 'user.email=a@example.com', '-c', 'protocol.file.allow=always', ...argv],
      {
        cwd: where,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' },
      },
    );
  function repository(where = folder): void {
    mkdirSync(where, { recursive: true });
    git(where, 'init', '--quiet', '--initial-branch=main');
  }
  function commit(where = folder): void {
    git(where, 'add', '--all');
    git(where, 'commit', '--quiet', '--message=one');
  }
  /** Without what is in a `.git` directory. */
  const seen = async (): Promise<string[]> => (await paths(true)).filter((name) => !/(^|\/)\.git\//.test(name));
  const refusal = (message: RegExp) => ({
    code: 'PROVISION_FAILED',
    retryable: false,
    message: expect.stringMatching(message),
  });

  /** Rules of every kind but the person's own. */
  function rules(): void {
    write('.gitignore', '*.log\n/build/\n!keep.log\n');
    write('sub/.gitignore', 'local\n!seen.log\n');
    for (const name of [
      'a.log',
      'keep.log',
      'build/out',
      'sub/build/in',
      'sub/local',
      'sub/seen.log',
      'local',
      'sub/b.log',
    ])
      write(name);
    mkdirSync(at('empty'));
  }
  const ruled = [
    '.gitignore',
    'keep.log',
    'local',
    'sub',
    'sub/.gitignore',
    'sub/build',
    'sub/build/in',
    'sub/seen.log',
  ];

  test('of a repository are by its rules, nested ones too, with the repository itself', async () => {
    repository();
    rules();
    write('.git/info/exclude', 'local\n');
    write('.git/some-tool/cache.log');
    expect(await seen()).toEqual(['.git', ...ruled].filter((name) => name !== 'local'));
    expect(await paths(true)).toEqual(
      expect.arrayContaining(['.git/HEAD', '.git/objects', '.git/some-tool/cache.log']),
    );
  });

  test('of a folder that is no repository are by the same rules, and it does not become one', async () => {
    rules();
    expect(await paths(true)).toEqual(ruled);
    expect(readdirSync(folder)).not.toContain('.git');
  });

  test("leave out what the person's own excludes file names", async () => {
    writeFileSync(path.join(outside, 'mine'), '*.swp\n');
    writeFileSync(path.join(outside, 'config'), `[core]\n\texcludesFile = ${path.join(outside, 'mine')}\n`);
    vi.stubEnv('GIT_CONFIG_GLOBAL', path.join(outside, 'config'));
    write('a');
    write('a.swp');
    expect(await seen()).toEqual(['a']);
    repository();
    expect(await seen()).toEqual(['.git', 'a']);
  });

  test('hold what is tracked though it would be ignored, and what is staged, changed or new', async () => {
    repository();
    write('.gitignore', 'vendor/\n');
    write('vendor/tracked');
    git(folder, 'add', '--force', '.gitignore', 'vendor/tracked');
    git(folder, 'commit', '--quiet', '--message=one');
    write('vendor/untracked');
    write('staged');
    git(folder, 'add', 'staged');
    write('new');
    expect(await seen()).toEqual(['.git', '.gitignore', 'new', 'staged', 'vendor', 'vendor/tracked']);
  });

  test('do not hold what is tracked and gone, nor what a link in its place leads to', async () => {
    repository();
    for (const name of ['gone', 'moved/deep/file', 'became/file', 'kept']) write(name);
    commit();
    for (const name of ['gone', 'moved', 'became']) rmSync(at(name), { recursive: true });
    mkdirSync(path.join(outside, 'elsewhere/deep'), { recursive: true });
    writeFileSync(path.join(outside, 'elsewhere/deep/file'), 'secret');
    link('../elsewhere', 'moved');
    write('became');
    expect(await seen()).toEqual(['.git', 'became', 'kept', 'moved']);
  });

  test('hold once what is in conflict', async () => {
    repository();
    write('file', 'base\n');
    commit();
    git(folder, 'checkout', '--quiet', '-b', 'other');
    write('file', 'other\n');
    commit();
    git(folder, 'checkout', '--quiet', 'main');
    write('file', 'main\n');
    commit();
    expect(() => git(folder, 'merge', 'other')).toThrow();
    expect(await seen()).toEqual(['.git', 'file']);
  });

  test('of a folder in a repository are those below it, without the repository', async () => {
    repository(outside);
    writeFileSync(path.join(outside, '.gitignore'), '*.log\n');
    write('a.log');
    write('a');
    expect(await paths(true)).toEqual(['a']);
  });

  test('of a folder that its repository ignores whole are by its own rules', async () => {
    repository(outside);
    writeFileSync(path.join(outside, '.gitignore'), '*\n');
    rules();
    expect(await paths(true)).toEqual(ruled);
  });

  test('of a linked worktree are its own, and its link to the repository stays a file', async () => {
    const main = path.join(outside, 'main');
    repository(main);
    writeFileSync(path.join(main, '.gitignore'), '*.log\n');
    commit(main);
    rmSync(folder, { recursive: true });
    git(main, 'worktree', 'add', '--quiet', folder);
    write('a.log');
    write('a');
    expect(await paths(true)).toEqual(['.git', '.gitignore', 'a']);
    rmSync(main, { recursive: true });
    expect(await paths(true)).toEqual(['.git', '.gitignore', 'a']);
  });

  test('hold submodules, each by its own rules, and an empty folder for one that is not checked out', async () => {
    const other = path.join(outside, 'other');
    repository(other);
    writeFileSync(path.join(other, '.gitignore'), '*.log\n');
    commit(other);
    repository();
    git(folder, 'submodule', '--quiet', 'add', other, 'libs/one');
    git(folder, 'submodule', '--quiet', 'add', other, 'libs/two');
    commit();
    git(folder, 'submodule', '--quiet', 'deinit', 'libs/two');
    write('libs/one/a.log');
    write('libs/one/a');
    write('b.log');
    expect(await seen()).toEqual([
      '.git',
      '.gitmodules',
      'b.log',
      'libs',
      'libs/one',
      'libs/one/.git',
      'libs/one/.gitignore',
      'libs/one/a',
      'libs/two',
    ]);
  });

  test.each([true, false])(
    'hold repositories within, each by its own rules (in a repository: %s)',
    async (isWithin) => {
      if (isWithin) repository();
      write('.gitignore', 'a\n');
      repository(at('inner'));
      write('inner/.gitignore', '*.log\n');
      write('inner/a');
      write('inner/a.log');
      repository(at('new'));
      const inner = ['inner', 'inner/.git', 'inner/.gitignore', 'inner/a', 'new', 'new/.git'];
      expect(await seen()).toEqual([...(isWithin ? ['.git'] : []), '.gitignore', ...inner]);
      expect(await paths(true)).toContain('inner/.git/HEAD');
    },
  );

  test('of a repository without a working folder, and of the inside of one, are all that is in it', async () => {
    git(folder, 'init', '--quiet', '--bare', '.');
    expect(await paths(true)).toEqual(expect.arrayContaining(['HEAD', 'config']));
    const inside = path.join(outside, 'repository');
    repository(inside);
    const { entries } = await workspaceEntries(path.join(inside, '.git'), { gitignore: true }, never);
    expect(entries.map((entry) => entry.path)).toEqual(expect.arrayContaining(['HEAD', 'config']));
  });

  test('may have any name', async () => {
    const names = [
      'new\nline',
      '"quotes"',
      "it's",
      '-dash',
      'tab\there',
      ' blank ',
      'back\\slash',
      'données 🍾',
      ':colon',
      '*',
    ];
    for (const name of names) write(name);
    expect(await paths(true)).toEqual([...names].sort());
    expect(await paths()).toEqual([...names].sort());
  });

  test('are those of this folder, also when bottle is started from a hook of another repository', async () => {
    const other = path.join(outside, 'other');
    repository(other);
    writeFileSync(path.join(other, 'theirs'), 'x');
    commit(other);
    write('ours');
    vi.stubEnv('GIT_DIR', path.join(other, '.git'));
    vi.stubEnv('GIT_WORK_TREE', other);
    vi.stubEnv('GIT_INDEX_FILE', path.join(other, '.git/index'));
    expect(await paths(true)).toEqual(['ours']);
  });

  test('start no program that a repository names', async () => {
    repository();
    write('file');
    commit();
    const ran = path.join(outside, 'ran');
    writeFileSync(path.join(outside, 'monitor'), `#!/bin/sh\ntouch ${ran}\n`, { mode: 0o755 });
    git(folder, 'config', 'core.fsmonitor', path.join(outside, 'monitor'));
    expect(await seen()).toEqual(['.git', 'file']);
    expect(readdirSync(outside)).not.toContain('ran');
  });

  test('cannot be told without git, nor when git does not trust the folder', async () => {
    repository();
    vi.stubEnv('GIT_TEST_ASSUME_DIFFERENT_OWNER', '1');
    await expect(survey(true)).rejects.toMatchObject(refusal(/dubious ownership/));
    vi.unstubAllEnvs();
    write('.git/config', 'not a config');
    await expect(survey(true)).rejects.toMatchObject(refusal(/bad config line 1/));
    vi.stubEnv('PATH', outside);
    await expect(survey(true)).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      message: 'git is not installed on this host',
    });
    expect((await survey()).entries).not.toEqual([]);
  });

  test('are told without leaving anything behind', async () => {
    const temporary = path.join(outside, 'tmp');
    mkdirSync(temporary);
    vi.stubEnv('TMPDIR', temporary);
    write('file');
    await survey(true);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

/** Whether this process has a file of the folder open. */
const isReading = (): boolean =>
  readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${folder}/`);
    } catch {
      return false;
    }
  });

describe('the archive of a working folder', () => {
  test('holds content, permission bits and times, all of it the agent’s', async () => {
    const bytes = Buffer.from([0, 255, 10, 13]);
    write('folder/file', bytes, 0o640);
    write('setuid', 'x', 0o4755);
    write('unwritable', 'x', 0o400);
    write('empty', '');
    mkdirSync(at('shared'));
    chmodSync(at('shared'), 0o3770);
    link('folder/file', 'link');
    utimesSync(at('folder/file'), 1_000_000, 1_000_000);
    lutimesSync(at('link'), 2_000_000, 2_000_000);
    const members = await archived();
    const told = [...members].map(([name, { header, content }]) => {
      const { mode, type, linkname } = header;
      return `${name} ${type} ${mode.toString(8)} ${content.toString('hex')} ${linkname ?? ''}`.trimEnd();
    });
    expect(told.filter((line) => !line.startsWith('link ')).sort()).toEqual([
      'empty file 644',
      'folder directory 755',
      'folder/file file 640 00ff0a0d',
      'setuid file 755 78',
      'shared directory 770',
      'unwritable file 400 78',
    ]);
    expect(members.get('link')?.header).toMatchObject({ type: 'symlink', linkname: 'folder/file' });
    for (const { header } of members.values()) expect([header.uid, header.gid]).toEqual([GUEST.uid, GUEST.uid]);
    expect(members.get('folder/file')?.header.mtime.getTime()).toBe(1_000_000_000);
    expect(members.get('link')?.header.mtime.getTime()).toBe(2_000_000_000);
  });

  test('holds names of any length and script, and long links', async () => {
    const names = [
      `${'a'.repeat(90)}/${'b'.repeat(90)}/${'c'.repeat(90)}/file`,
      `${'d'.repeat(255)}`,
      `${'ü'.repeat(120)}/new\nline "quoted" 🍾`,
      '99\n 12 path=evil',
    ];
    for (const name of names) write(name, name);
    link('t'.repeat(300), 'long');
    link('ü/'.repeat(100), 'l'.repeat(200));
    const members = await archived();
    for (const name of names) expect(members.get(name)?.content.toString()).toBe(name);
    expect(members.get('long')?.header.linkname).toBe('t'.repeat(300));
    expect(members.get('l'.repeat(200))?.header.linkname).toBe('ü/'.repeat(100));
  });

  test.each([
    [-5000, 0],
    [2 ** 33, 2 ** 31 - 1],
  ])('holds a time of %i seconds as one that tar can write', async (seconds, kept) => {
    execFileSync('touch', ['-d', `@${seconds}`, write('file')]);
    expect((await archived()).get('file')?.header.mtime.getTime()).toBe(kept * 1000);
    // tar itself has an opinion on times that tar-stream reads without a word.
    execFileSync('tar', ['-tf', '-'], { input: await buffer(workspaceArchive(await survey(), false).stream) });
  });

  test('holds small and large files whole, and counts what it holds', async () => {
    const sizes = [0, 1, 511, 512, 513, 262_143, 262_144, 262_145, 3_000_000];
    for (const size of sizes) write(`f${size}`, Buffer.alloc(size, `${size}.`));
    const { stream, sent } = workspaceArchive(await survey(), false);
    const members = await unpack(stream);
    for (const size of sizes)
      expect(members.get(`f${size}`)?.content.equals(Buffer.alloc(size, `${size}.`))).toBe(true);
    expect(sent).toEqual({ entries: sizes.length, bytes: sizes.reduce((sum, size) => sum + size) });
  });

  test('leaves out what has vanished or become something else since it was looked at', async () => {
    for (const name of ['small', 'became-link', 'became-folder', 'became-pipe', 'in/folder', 'kept']) write(name);
    truncateSync(write('large'), 3_000_000);
    const found = await survey();
    for (const name of ['small', 'large', 'became-link', 'became-folder', 'became-pipe', 'in'])
      rmSync(at(name), { recursive: true });
    link('/etc/passwd', 'became-link');
    mkdirSync(at('became-folder'));
    execFileSync('mkfifo', [at('became-pipe')]);
    const { stream, sent } = workspaceArchive(found, false);
    expect([...(await unpack(stream)).keys()].sort()).toEqual(['in', 'kept']);
    expect(sent).toEqual({ entries: 2, bytes: 1 });
  });

  test('holds files as they are when it comes to them', async () => {
    truncateSync(write('shrank'), 3_000_000);
    write('grew', 'short');
    const found = await survey();
    write('shrank', 'now short');
    write('grew', Buffer.alloc(3_000_000, 'g'));
    const members = await archived(found);
    expect(members.get('shrank')?.content.toString()).toBe('now short');
    expect(members.get('grew')?.content.length).toBe(3_000_000);
  });

  test('ends a file that grows meanwhile where it ended, and goes on behind it', async () => {
    const size = 4_000_000;
    write('log', Buffer.alloc(size, 'a'));
    const { stream, sent } = workspaceArchive(await survey(), false);
    await expect.poll(() => sent.bytes).toBe(size);
    appendFileSync(at('log'), Buffer.alloc(1_000_000, 'b'));
    const members = await unpack(stream);
    expect(members.get('log')?.content.equals(Buffer.alloc(size, 'a'))).toBe(true);
  });

  test('fails, for another attempt, when a large file shrinks under it', async () => {
    write('log', Buffer.alloc(4_000_000, 'a'));
    const { stream, sent } = workspaceArchive(await survey(), false);
    await expect.poll(() => sent.bytes).toBe(4_000_000);
    truncateSync(at('log'), 1_000_000);
    await expect(unpack(stream)).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      retryable: true,
      message: `${at('log')} became shorter while it was copied`,
    });
  });

  test('fails when files have grown beyond what may be copied', async () => {
    write('file');
    const found = await survey();
    truncateSync(at('file'), 2 * 1024 ** 3 + 1);
    await expect(unpack(workspaceArchive(found, false).stream)).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      message: expect.stringMatching(/holds more than 2 GiB/),
    });
  });

  test('is read no faster than it is taken, whether it is content or names', async () => {
    for (let n = 0; n < 100; n += 1) write(`files/${n}`, Buffer.alloc(200_000));
    const files = workspaceArchive(await workspaceEntries(at('files'), { gitignore: false }, never), false);
    mkdirSync(at('names'));
    for (let n = 0; n < 5000; n += 1) link('nowhere', `names/${n}`);
    const names = workspaceArchive(await workspaceEntries(at('names'), { gitignore: false }, never), false);
    await sleep(500);
    expect(files.sent.entries).toBeLessThan(10);
    expect(names.sent.entries).toBeLessThan(500);
    expect((await unpack(files.stream)).size).toBe(100);
    expect((await unpack(names.stream)).size).toBe(5000);
  });

  test.skipIf(process.platform !== 'linux')(
    'leaves off when it is destroyed, and lets go of what it reads',
    async () => {
      for (let n = 0; n < 50; n += 1) write(`${n}`, Buffer.alloc(200_000));
      write('large', Buffer.alloc(4_000_000));
      for (const reads of [0, 1, 20]) {
        const { stream, sent } = workspaceArchive(await survey(), false);
        for (let n = 0; n < reads; n += 1) await expect.poll(() => stream.read()).not.toBeNull();
        stream.destroy();
        await expect.poll(isReading).toBe(false);
        const then = sent.entries;
        await sleep(100);
        expect(sent.entries).toBe(then);
        expect(then).toBeLessThan(51);
      }
    },
  );

  test.skipIf(process.platform !== 'linux')('leaves off in the midst of a large file too', async () => {
    write('large', Buffer.alloc(4_000_000));
    const { stream, sent } = workspaceArchive(await survey(), false);
    await expect.poll(() => sent.bytes).toBe(4_000_000);
    expect(isReading()).toBe(true);
    stream.destroy();
    await expect.poll(isReading).toBe(false);
  });
});
