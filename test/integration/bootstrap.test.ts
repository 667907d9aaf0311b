/** scripts/bootstrap.mjs as a person runs it: in this checkout, where all it needs is there, and where it may not install. */
import { accessSync, constants } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, type Options } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { packageRoot } from '../../src/host/pins.ts';
import { httpProxy } from '../support/http-proxy.ts';

const script = join(packageRoot, 'scripts/bootstrap.mjs');
/** The first run may have to build what a source changed meanwhile. */
const PATIENCE = 300_000;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bottle-bootstrap-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function bootstrap(args: string[], options: Options = {}) {
  return execa(process.execPath, [script, ...args], { reject: false, stdin: 'ignore', ...options });
}

describe('with everything there', { timeout: PATIENCE }, () => {
  test('says a line for each thing, on stderr alone', async () => {
    const { exitCode, stdout, stderr } = await bootstrap([]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: '' });
    const ready = String(stderr)
      .split('\n')
      .flatMap((line) => /^ok {6}([^:]+): .*\d m?s$/.exec(line)?.[1] ?? []);
    const before = ['npm packages', 'Node 24', 'Docker Engine', 'build'];
    expect(ready).toEqual([...before, 'Temporal CLI', 'gitleaks', 'smolvm', 'images']);
  });

  test('runs a command on Node 24 and ends with its exit code', async () => {
    const code = 'console.log(process.version); process.exit(7)';
    const { exitCode, stdout } = await bootstrap(['--quiet', '--then', 'node', '-e', code]);
    expect(exitCode).toBe(7);
    expect(stdout).toMatch(/^v24\./);
  });

  test('passes a signal on to the command and ends with it', async () => {
    const code = "process.on('SIGTERM', () => process.exit(9)); setInterval(() => {}, 1000); console.log('up')";
    const running = bootstrap(['--quiet', '--then', 'node', '-e', code]);
    for await (const line of running.iterable()) if (line === 'up') running.kill('SIGTERM');
    expect((await running).exitCode).toBe(9);
  });

  test('a command that does not exist is an error with a code', async () => {
    const { exitCode, stderr } = await bootstrap(['--quiet', '--then', 'no-such-command']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('error[TOOL_MISSING]: no-such-command cannot be run');
  });
});

describe('refusing', { timeout: PATIENCE }, () => {
  test('an unknown argument is wrong usage', async () => {
    const { exitCode, stderr } = await bootstrap(['--nonsense']);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error\[USAGE\]: unknown argument --nonsense\nhint: /);
  });

  test('installs no Docker Engine where DOCKER_HOST names another', async () => {
    const env = { DOCKER_HOST: `unix://${folder}/none.sock`, BOTTLE_CACHE: folder };
    const { exitCode, stderr } = await bootstrap(['--quiet'], { env });
    expect(exitCode).toBe(1);
    expect(stderr).toContain(
      `error[TOOL_MISSING]: the Docker Engine at ${env.DOCKER_HOST} (DOCKER_HOST) does not answer (ENOENT)\n` +
        'hint: start Docker, or unset DOCKER_HOST',
    );
  });

  test('installs no Docker Engine where the current context names another', async () => {
    await mkdir(join(folder, '.docker'));
    await writeFile(join(folder, '.docker/config.json'), '{"currentContext":"gone"}');
    const { exitCode, stderr } = await bootstrap(['--quiet'], { env: { HOME: folder, BOTTLE_CACHE: folder } });
    expect(exitCode).toBe(1);
    expect(stderr).toContain('names the Docker context gone, which is not there\nhint: docker context use default');
  });

  test('installs no Docker Engine for a user who is not root', async (context) => {
    const reason = cannotBeNobody();
    if (reason !== undefined) return context.skip(reason);
    // In mounts of its own, where the engine's socket is not; what others see stays as it is.
    const hidden = 'mount -t tmpfs none /run && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"';
    const { exitCode, stderr } = await execa(
      'unshare',
      ['--mount', 'sh', '-c', hidden, 'sh', process.execPath, script, '--quiet'],
      { reject: false, stdin: 'ignore', env: { HOME: folder, BOTTLE_CACHE: await nobodysFolder() } },
    );
    expect(stderr).toMatch(
      /^error\[TOOL_MISSING\]: the Docker Engine at \S+ does not answer \(ENOENT\)\nhint: install and start it/m,
    );
    expect(exitCode).toBe(1);
  });

  test('where neither a release nor Go is to be had, says so of the Temporal CLI', async () => {
    const { exitCode, stderr } = await bootstrap(['--quiet'], {
      env: { PATH: folder, BOTTLE_CACHE: folder, BOTTLE_DOWNLOADS: 'http://127.0.0.1:1' },
    });
    expect(stderr).toMatch(
      /^error\[TOOL_MISSING\]: the Temporal CLI is not installed: http:.*; there is no Go to build it with$/m,
    );
    expect(stderr).toMatch(/^hint: brew install temporal/m);
    expect(exitCode).toBe(1);
  });
});

test('its downloads go by the proxy of config.yaml', async () => {
  const proxy = await httpProxy();
  try {
    const { port } = proxy.upstream;
    await writeFile(join(folder, 'config.yaml'), `network: {proxy: "http://127.0.0.1:${port}"}`);
    const { stderr } = await bootstrap(['--quiet'], {
      env: {
        PATH: folder,
        BOTTLE_HOME: folder,
        BOTTLE_CACHE: folder,
        BOTTLE_DOWNLOADS: 'http://releases.company.test:8443',
      },
    });
    expect(proxy.asked).toEqual(['CONNECT releases.company.test:8443']);
    expect(stderr).toMatch(
      /^error\[TOOL_MISSING\]: the Temporal CLI is not installed: http:\/\/releases.company.test:8443/m,
    );
  } finally {
    await proxy.close();
  }
});

describe('two at once', () => {
  const turn = `
    import { appendFile } from 'node:fs/promises';
    import { withLock } from '${join(packageRoot, 'scripts/bootstrap/lock.mjs')}';
    await withLock(() => {}, async () => {
      await appendFile(process.env.LOG, 'in ');
      await new Promise((resolve) => setTimeout(resolve, 100));
      await appendFile(process.env.LOG, 'out ');
    });`;
  const takeTurn = () =>
    execa(process.execPath, ['--input-type=module', '-e', turn], {
      env: { BOTTLE_CACHE: folder, LOG: join(folder, 'log') },
    });

  test('take turns', async () => {
    await Promise.all([takeTurn(), takeTurn(), takeTurn()]);
    expect(await readFile(join(folder, 'log'), 'utf8')).toBe('in out '.repeat(3));
  });

  test('and a lock whose owner died is taken over', async () => {
    const dead = execa('true');
    await dead;
    await symlink(String(dead.pid), join(folder, 'bootstrap.lock'));
    await takeTurn();
    expect(await readFile(join(folder, 'log'), 'utf8')).toBe('in out ');
  });
});

/** Why this process cannot act as the user nobody, or undefined. */
function cannotBeNobody(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux to become another user';
  try {
    accessSync('/usr/bin/setpriv', constants.X_OK);
    accessSync('/usr/bin/unshare', constants.X_OK);
  } catch {
    return 'needs setpriv and unshare of util-linux';
  }
  return undefined;
}

/** A cache that any user may write to. */
async function nobodysFolder(): Promise<string> {
  const path = join(folder, 'cache');
  await chmod(folder, 0o755);
  await mkdir(path);
  await chmod(path, 0o777);
  return path;
}
