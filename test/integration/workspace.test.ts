import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Readable, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import type { ExecRequest, MachineDriver } from '../../src/host/machine/driver.ts';
import { type CopiedWorkspace, copyWorkspace } from '../../src/host/workspace.ts';
import { type DockerSite, dockerSite, sh } from '../support/docker-site.ts';

let site: DockerSite;
let bottle: BottleRef;
let outside: string;
let folder: string;
beforeAll(async () => {
  site = await dockerSite();
  ({ bottle } = await site.machine('workspace'));
});
afterAll(() => site?.dispose());
beforeEach(() => {
  outside = mkdtempSync(path.join(os.tmpdir(), 'bottle-workspace-'));
  folder = path.join(outside, 'work');
  mkdirSync(folder);
});
afterEach(async () => {
  rmSync(outside, { recursive: true, force: true });
  // As a machine starts, but for what the image holds.
  await inside(`chmod u+w . && ls -A | grep -e workspace | while read -r each; do chmod -R u+rwX "$each"; rm -rf "$each"; done
    mkdir workspace`);
});

const never = new AbortController().signal;
const at = (file: string): string => path.join(folder, file);
const inside = (script: string, workdir: string = GUEST.home) => sh(site.driver, bottle.id, script, { workdir });
const copy = (gitignore = false, driver: MachineDriver = site.driver, signal = never): Promise<CopiedWorkspace> =>
  copyWorkspace(driver, bottle.id, folder, { gitignore }, signal);

function write(file: string, content: string | Buffer = 'x', mode = 0o644): string {
  mkdirSync(path.dirname(at(file)), { recursive: true });
  writeFileSync(at(file), content);
  chmodSync(at(file), mode);
  return at(file);
}

/** Every path with type, mode, size of a file, target of a link and time, and every file's content. */
const TREE = `find . -mindepth 1 \\( -type d -printf '%P %y %m\\0' -o -printf '%P %y %m %s %l %Ts\\0' \\) | sort -z
  find . -type f -print0 | sort -z | xargs -0 -r sha256sum -z`;
const there = async (): Promise<string[]> => (await inside(TREE, GUEST.workspace)).stdout.split('\0');
const here = (): string[] => execFileSync('sh', ['-c', TREE], { cwd: folder, encoding: 'utf8' }).split('\0');
const names = async (): Promise<string[]> =>
  (await inside("find . -mindepth 1 -not -path './.git/*' -printf '%P\\n' | sort", GUEST.workspace)).stdout
    .trim()
    .split('\n');
/** What is in the machine beside the workspace and was not there before. */
const beside = async (): Promise<string> => (await inside('ls -A | grep -v -x -e workspace | grep workspace')).stdout;

describe('a working folder in the machine', () => {
  test('is the same: content, modes, links, times, names of every kind; and all of it is the agent’s', async () => {
    write('src/deep/er/file.txt', 'content');
    write('run.sh', '#!/bin/sh\necho ran', 0o755);
    write('.hidden/private', 'secret', 0o600);
    write('bytes', Buffer.from([0, 255, 10, 13]));
    write('large', Buffer.alloc(5_000_001, 'large '));
    write('new\nline \'single\' "double" `id` $HOME \\n 🍾');
    write('-rf');
    write(' ');
    write(`${'long/'.repeat(60)}${'n'.repeat(255)}`);
    write('open', 'x', 0o666);
    for (const name of ['read-only/one', 'read-only/two']) {
      write(`${name}/file`, 'x', 0o444);
      chmodSync(at(name), 0o555);
    }
    mkdirSync(at('empty'));
    for (const [name, target] of [
      ['link', 'run.sh'],
      ['folder', 'src/deep'],
      ['up', '../../etc/passwd'],
      ['absolute', '/etc'],
      ['dangling', 't'.repeat(200)],
    ] as const)
      symlinkSync(target, at(name));
    utimesSync(at('bytes'), 1_000_000, 1_000_000);
    utimesSync(at('open'), 1_000_000, 1_000_000.9998);
    const copied = await copy();
    expect(await there()).toEqual(here());
    const sizes = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%y%s '], { cwd: folder, encoding: 'utf8' });
    const entries = sizes.trim().split(' ');
    const bytes = entries.reduce((sum, each) => sum + (each.startsWith('f') ? Number(each.slice(1)) : 0), 0);
    expect(copied).toEqual({ entries: entries.length, bytes, skipped: 0 });
    expect((await inside('find . -not -user agent -o -not -group agent', GUEST.workspace)).stdout).toBe('');
    expect((await inside(`stat -c '%a %U' .; pwd; ./run.sh`, GUEST.workspace)).stdout).toBe(
      `755 agent\n${GUEST.workspace}\nran\n`,
    );
    for (const name of ['read-only/one', 'read-only/two']) chmodSync(at(name), 0o755);
  });

  test('is the same when it is copied again, and nothing is left beside it', async () => {
    write('a/b', '1');
    symlinkSync('a', at('link'));
    const first = await copy();
    const tree = await there();
    expect(await copy()).toEqual(first);
    expect(await there()).toEqual(tree);
    expect(tree).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('becomes what the folder is by then: files go, change, and become folders and links', async () => {
    for (const name of ['gone', 'changed', 'becomes-folder', 'becomes-link/file', 'folder-gone/file']) write(name);
    await copy();
    for (const name of ['gone', 'becomes-folder', 'becomes-link', 'folder-gone']) rmSync(at(name), { recursive: true });
    write('changed', 'other');
    write('becomes-folder/file');
    symlinkSync('changed', at('becomes-link'));
    await inside('echo mine > added; mkdir -p locked/in; touch locked/in/file; chmod -R a-w locked', GUEST.workspace);
    await copy();
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('is empty when the folder is empty, also where something was before', async () => {
    expect(await copy()).toEqual({ entries: 0, bytes: 0, skipped: 0 });
    write('file');
    await copy();
    rmSync(at('file'));
    await copy();
    expect((await inside('ls -A', GUEST.workspace)).stdout).toBe('');
  });

  test('is without sockets and fifos, which are counted', async () => {
    write('file');
    execFileSync('mkfifo', [at('pipe')]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve));
    try {
      expect(await copy()).toEqual({ entries: 1, bytes: 1, skipped: 2 });
    } finally {
      server.close();
    }
    expect(await names()).toEqual(['file']);
  });

  test.each([
    ['is missing', 'rm -r workspace'],
    [
      'is a link',
      'rm -r workspace; mkdir .workspace-theirs; echo kept > .workspace-theirs/file; ln -s .workspace-theirs workspace',
    ],
    ['is a link to nothing', 'rm -r workspace; ln -s nowhere workspace'],
    ['is a file', 'rm -r workspace; touch workspace'],
    ['is locked', 'touch workspace/file; chmod a-w workspace'],
    ['cannot even be looked into', 'mkdir workspace/in; touch workspace/in/file; chmod -R 000 workspace'],
  ])('comes into place also where the workspace %s', async (_how, script) => {
    write('file', 'new');
    await inside(script);
    await copy();
    expect(await there()).toEqual(here());
    expect((await inside('cat .workspace-theirs/file 2>/dev/null; rm -rf .workspace-theirs')).stdout).toMatch(
      /^(kept\n)?$/,
    );
    expect(await beside()).toBe('');
  });

  test('comes into place of what root has put there', async () => {
    await inside('chmod 777 .', GUEST.workspace);
    expect((await sh(site.driver, bottle.id, 'mkdir in && touch in/file', { user: 'root' })).exitCode).toBe(0);
    write('file', 'new');
    await copy();
    expect(await there()).toEqual(here());
    await sh(site.driver, bottle.id, 'rm -rf .workspace.bottle-*', { user: 'root', workdir: GUEST.home });
  });

  test("comes into place of the image's own, which cannot be moved away where layers lie over each other", async () => {
    const fresh = (await site.machine('workspace')).bottle;
    const there = (script: string) => sh(site.driver, fresh.id, script, { workdir: GUEST.home });
    await there('mkdir -p workspace/in/deep && touch workspace/in/deep/file && chmod -R a-w workspace');
    write('file', 'new');
    for (let times = 0; times < 2; times += 1) {
      await copyWorkspace(site.driver, fresh.id, folder, { gitignore: false }, never);
      expect((await there('find workspace; ls -A | grep workspace')).stdout).toBe(
        'workspace\nworkspace/file\nworkspace\n',
      );
    }
    await site.driver.delete(fresh.id);
  });

  test('outlives a restart of the machine', async () => {
    write('file', 'kept');
    await copy();
    await site.driver.stop(bottle.id);
    await expect(copy()).rejects.toMatchObject({ code: 'MACHINE_NOT_RUNNING' });
    await site.driver.start(bottle);
    expect(await there()).toEqual(here());
    await copy();
    expect(await there()).toEqual(here());
  });
});

describe('a working folder that is no project', () => {
  test('is refused before anything is copied, and the workspace stays', async () => {
    write('file', 'old');
    await copy();
    const tree = await there();
    truncateSync(write('disk.img'), 2 * 1024 ** 3 + 1);
    await expect(copy()).rejects.toMatchObject({ code: 'PROVISION_FAILED', message: expect.stringMatching(/2 GiB/) });
    const refused = (where: string) => copyWorkspace(site.driver, bottle.id, where, { gitignore: false }, never);
    for (const where of ['/', os.homedir(), at('nowhere'), at('file')])
      await expect(refused(where)).rejects.toMatchObject({ code: 'USAGE' });
    expect(await there()).toEqual(tree);
    expect(await beside()).toBe('');
  });
});

describe('without what git ignores', () => {
  const git = (...argv: string[]): string =>
    execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...argv], {
      cwd: folder,
      encoding: 'utf8',
    });

  test('a repository comes as git sees it here: tracked though ignored, staged and new files, and its history', async () => {
    git('init', '--quiet', '--initial-branch=main');
    write('.gitignore', '/node_modules/\n*.log\n');
    write('sub/.gitignore', 'local\n');
    write('tracked.log');
    write('sub/file');
    git('add', '--force', '.');
    git('commit', '--quiet', '--message=one');
    for (const name of ['node_modules/large/file', 'a.log', 'sub/local', 'new']) write(name);
    write('staged');
    git('add', 'staged');
    write('sub/file', 'changed');
    await copy(true);
    expect(await names()).toEqual(
      ['.git', '.gitignore', 'new', 'staged', 'sub', 'sub/.gitignore', 'sub/file', 'tracked.log'].sort(),
    );
    const status = 'git status --porcelain=v1 && git log --format=%H%s && git fsck --full 2>&1';
    const seen = await inside(status, GUEST.workspace);
    expect(seen.stdout).toBe(execFileSync('sh', ['-c', status], { cwd: folder, encoding: 'utf8' }));
    expect(seen.stdout).toMatch(/^A {2}staged\n M sub\/file\n\?\? new\n/);
    // Without the option all of it comes.
    await copy();
    expect(await there()).toEqual(here());
  });

  test('a folder that is no repository comes by the same rules', async () => {
    write('.gitignore', '/node_modules/\n');
    write('sub/.gitignore', 'local\n!kept\n');
    for (const name of ['node_modules/file', 'sub/local', 'sub/kept', 'local']) write(name);
    await copy(true);
    expect(await names()).toEqual(['.gitignore', 'local', 'sub', 'sub/.gitignore', 'sub/kept']);
  });

  test('a submodule works in the machine', async () => {
    const other = path.join(outside, 'other');
    execFileSync('git', ['init', '--quiet', other]);
    writeFileSync(path.join(other, 'file'), 'x');
    for (const argv of [
      ['add', '.'],
      ['commit', '--quiet', '--message=one'],
    ])
      git('-C', other, ...argv);
    git('init', '--quiet');
    git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', other, 'lib');
    git('commit', '--quiet', '--message=two');
    await copy(true);
    expect((await inside('git -C lib log --format=%s; git submodule status', GUEST.workspace)).stdout).toMatch(
      /^one\n [0-9a-f]{40} lib \(.*\)\n$/,
    );
  });
});

/** A process of its own that copies the folder, and prints by how many bytes it grew meanwhile, at most. */
function elsewhere(): ChildProcessByStdio<null, Readable, null> {
  const script = `
    const { connectDocker } = await import('${path.resolve('src/host/docker.ts')}');
    const { dockerDriver } = await import('${path.resolve('src/host/machine/docker.ts')}');
    const { copyWorkspace } = await import('${path.resolve('src/host/workspace.ts')}');
    const driver = dockerDriver({ docker: connectDocker(), owner: '${site.owner}' });
    const before = process.memoryUsage.rss();
    let most = before;
    setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 10).unref();
    await copyWorkspace(driver, '${bottle.id}', '${folder}', { gitignore: false }, new AbortController().signal);
    console.log(most - before);`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
}

describe('a copy that is cut off', () => {
  /** A driver that gives the machine no more than `bytes` of the archive. */
  const cutting = (bytes: number): MachineDriver => {
    let left = bytes;
    const cut = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        const part = chunk.subarray(0, left);
        left -= part.length;
        done(null, part);
      },
    });
    const exec = (id: string, request: ExecRequest) =>
      site.driver.exec(id, { ...request, stdin: (request.stdin as Readable).pipe(cut) });
    return { ...site.driver, exec };
  };
  /** A workspace with an older version; how it looks. */
  async function older(): Promise<string[]> {
    write('file', 'old');
    write('only-old', 'old');
    await copy();
    const tree = await there();
    rmSync(at('only-old'));
    write('file', 'new');
    return tree;
  }

  test.each([0, 512, 700, 1024, 1030, 1536])(
    'after %i bytes leaves the old version, then comes whole',
    async (bytes) => {
      const old = await older();
      await expect(copy(false, cutting(bytes))).rejects.toMatchObject({
        code: 'PROVISION_FAILED',
        retryable: true,
        message: expect.stringMatching(
          /^unpacking in the machine ended with \d+: .*(part of the archive|Unexpected EOF|not look like a tar archive)/,
        ),
      });
      expect(await there()).toEqual(old);
      expect(await beside()).toBe('');
      await copy();
      expect(await there()).toEqual(here());
    },
  );

  test('by the end of the process that copies leaves the old version, then comes whole', async () => {
    const old = await older();
    write('large', Buffer.alloc(200_000_000));
    const child = elsewhere();
    const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
    await arriving();
    child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    await expect.poll(beside).toBe('');
    expect(await there()).toEqual(old);
    await copy();
    expect(await there()).toEqual(here());
  });

  test('by the end of the machine leaves the old version, and what it had brought goes with the next', async () => {
    const old = await older();
    write('large', Buffer.alloc(200_000_000));
    const cut = copy();
    cut.catch(() => undefined);
    await arriving();
    await site.docker.getContainer(machineName(bottle.id)).kill();
    await expect(cut).rejects.toMatchObject({ code: expect.stringMatching(/MACHINE_NOT_RUNNING|PROVISION_FAILED/) });
    await site.driver.start(bottle);
    expect(await there()).toEqual(old);
    expect(await beside()).toMatch(/^\.workspace\.bottle-incoming-/);
    await copy();
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('by its signal ends at once, leaves the old version, and nothing of it runs on', async () => {
    const old = await older();
    write('large', Buffer.alloc(200_000_000));
    const controller = new AbortController();
    const cut = copy(false, site.driver, controller.signal);
    cut.catch(() => undefined);
    await arriving();
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(cut).rejects.toBe(reason);
    expect((await inside('cat /proc/[0-9]*/comm | grep -x -e tar -e flock')).stdout).toBe('');
    expect(await there()).toEqual(old);
    await copy();
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('by a file that shrinks fails for another attempt, and leaves the old version', async () => {
    const old = await older();
    write('log', Buffer.alloc(300_000_000));
    const cut = copy();
    cut.catch(() => undefined);
    await arriving();
    truncateSync(at('log'), 1_000);
    await expect(cut).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      retryable: true,
      message: expect.stringMatching(/log became shorter while it was copied$/),
    });
    expect(await there()).toEqual(old);
    await copy();
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test.each([
    ['and the machine was not started anew', ''],
    ['and the machine was started anew, which makes an empty one', 'mkdir workspace'],
  ])('between its two moves is undone by the next, even if that fails too, %s', async (_how, script) => {
    const old = await older();
    await inside(`mv workspace .workspace.bottle-outgoing; mkdir .workspace.bottle-incoming-1; ${script}`);
    await expect(copy(false, cutting(1024))).rejects.toMatchObject({ code: 'PROVISION_FAILED' });
    expect(await there()).toEqual(old);
    await copy();
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('behind its two moves leaves the new version, whatever becomes of the next', async () => {
    write('file', 'new');
    await copy();
    await inside('mkdir .workspace.bottle-outgoing; touch .workspace.bottle-outgoing/old');
    await expect(copy(false, cutting(1024))).rejects.toMatchObject({ code: 'PROVISION_FAILED' });
    expect(await there()).toEqual(here());
    expect(await beside()).toBe('');
  });

  test('by a home that cannot be written to says so, and comes once it can', async () => {
    write('file');
    await inside('chmod a-w .');
    await expect(copy()).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      message: expect.stringMatching(/^unpacking in the machine ended with \d+: mkdir: .*Permission denied/),
    });
    await inside('chmod u+w .');
    await copy();
    expect(await there()).toEqual(here());
  });

  /** Until something of the large file is in the machine. */
  async function arriving(): Promise<void> {
    const size = 'cat .workspace.bottle-incoming-*/content/l* 2>/dev/null | head -c 1000000 | wc -c';
    await expect.poll(async () => Number((await inside(size)).stdout), { interval: 20 }).toBe(1_000_000);
  }
});

describe('two copies at once, as of an attempt and its killed predecessor', () => {
  test('end with one of the two, whole', async () => {
    write('one', Buffer.alloc(20_000_000));
    const other = path.join(outside, 'other');
    mkdirSync(other);
    writeFileSync(path.join(other, 'two'), 'two');
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([copy(), copyWorkspace(site.driver, bottle.id, other, { gitignore: false }, never)]);
      expect(await names()).toHaveLength(1);
      expect((await inside('stat -c "%n %s" *', GUEST.workspace)).stdout).toMatch(/^(one 20000000|two 3)\n$/);
      expect(await beside()).toBe('');
    }
  });
});

describe('a large working folder', () => {
  test('of 300 MB comes through without being held in memory', async () => {
    for (let n = 0; n < 3000; n += 1) write(`small/${n % 100}/${n}`, Buffer.alloc(33_000, n));
    for (let n = 0; n < 4; n += 1) write(`large-${n}`, Buffer.alloc(50_000_000, n));
    const grown = Number(await text(elsewhere().stdout));
    expect(grown).toBeGreaterThan(0);
    expect(grown).toBeLessThan(120_000_000);
    expect(await there()).toEqual(here());
  });

  test('waits for a machine that takes nothing: what is not taken is not read', async () => {
    let taken = 0;
    // Far more than the sockets on the way to an Engine hold, wherever that is.
    const most = 512 * 1024 * 1024;
    const endless = Readable.from(
      (function* () {
        while (taken < most) {
          taken += 64 * 1024;
          yield Buffer.alloc(64 * 1024);
        }
      })(),
    );
    const { exitCode } = await site.driver.exec(bottle.id, {
      argv: ['sleep', '3'],
      stdin: endless,
      stdout: new PassThrough(),
      stderr: new PassThrough(),
    });
    expect(exitCode).toBe(0);
    expect(taken).toBeGreaterThan(0);
    expect(taken).toBeLessThan(most);
    endless.destroy();
  });
});
