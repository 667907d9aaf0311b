/**
 * Interception from end to end: a machine that trusts the CA of its bottle, a bundle whose real pipelock reads HTTPS with
 * it, and upstreams that have certificates of a company's own CA.
 */
import { randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { provisionCa } from '../../src/activities/provision-ca.ts';
import type { BundlePlans } from '../../src/core/bundle-plans.ts';
import { CA_FILE, caEnvironment, NETWORK_CA } from '../../src/core/ca-environment.ts';
import { DAEMON_USERS, EGRESS_URL, PIPELOCK_FILES, PIPELOCK_PORT, SCANNER_LIMITS } from '../../src/core/daemons.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { BottleRef, BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBottleCa } from '../../src/host/bottle-ca.ts';
import { removeBottleState } from '../../src/host/bottle-state.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { imageScanner } from '../../src/host/images.ts';
import { type DockerSite, dockerSite, plansOf, run } from '../support/docker-site.ts';
import { daemonsIn, daemonsUntil, routeTo } from '../support/full-bundle.ts';
import { runIn } from '../support/run-in-container.ts';
import { testCa } from '../support/test-ca.ts';
import { type Recorded, startWorld, type World } from '../support/world.ts';

const MIB = 1024 ** 2;
const never = new AbortController().signal;
const isPipelock = (await imageScanner()) === 'pipelock';
if (!isPipelock)
  console.warn('no pipelock here (BOTTLE_TOOLS, PATH, cache): nothing can be intercepted, so that is not tried');

interface Home {
  bottle: BottleRef;
  network: NetworkFacts;
}

let site: DockerSite;
beforeAll(async () => {
  site = await dockerSite();
});
afterAll(() => site?.dispose());

const provision = ({ bottle }: Home, intercept = true, signal = never): Promise<null> =>
  provisionCa(site, { bottle, driver: 'docker', intercept }, signal);
const asRoot = ({ bottle }: Home, script: string, ...args: string[]) =>
  run(site.driver, bottle.id, ['sh', '-c', script, 'sh', ...args], { user: 'root', workdir: '/' });
const storeOf = async (home: Home): Promise<string> => (await asRoot(home, `cat ${GUEST.caBundle}`)).stdout;
const certificatesIn = (store: string): string[] => store.match(/-----BEGIN CERTIFICATE-----\n[^-]+/g) ?? [];

describe('the store of a machine', () => {
  let home: Home;
  let before: string[];
  beforeAll(async () => {
    home = await site.machine('ca');
    before = certificatesIn(await storeOf(home));
  });

  const caOf = async ({ bottle }: Home): Promise<string> => (await ensureBottleCa(site.settings, bottle.id)).cert;
  /** By the one file, and by the links that OpenSSL follows. */
  const trusts = async (where: Home, cert: string): Promise<[boolean, boolean]> => {
    const linked = `printf %s "$1" >/tmp/asked.pem; openssl verify -no-CAfile -no-CAstore -CApath /etc/ssl/certs /tmp/asked.pem`;
    return [(await storeOf(where)).includes(cert), (await asRoot(where, linked, cert)).exitCode === 0];
  };

  test('stays as it is where nothing is intercepted, and no CA is made', async () => {
    await provision(home, false);
    expect(certificatesIn(await storeOf(home))).toEqual(before);
    expect((await asRoot(home, `ls ${CA_FILE}`)).exitCode).not.toBe(0);
    await expect(readFile(path.join(site.settings.state, 'bottles', home.bottle.id, 'ca.pem'))).rejects.toThrow(
      'ENOENT',
    );
  });

  test('has the CA of its bottle, and the others still, however often it was put there', async () => {
    await provision(home);
    await provision(home);
    const cert = await caOf(home);
    expect(await trusts(home, cert)).toEqual([true, true]);
    expect(certificatesIn(await storeOf(home)).sort()).toEqual([...before, certificatesIn(cert)[0]].sort());
    expect((await asRoot(home, `stat -c '%U %G %a' ${CA_FILE}`)).stdout).toBe('root root 644\n');
    expect(
      (await asRoot(home, 'find / -xdev -newer /etc/hostname -type f -exec grep -l "PRIVATE KEY" {} + 2>/dev/null'))
        .stdout,
    ).toBe('');
  });

  test('is written by one run at a time', async () => {
    await Promise.all([provision(home), provision(home), provision(home)]);
    expect(certificatesIn(await storeOf(home))).toHaveLength(before.length + 1);
  });

  test('is whole after a run that was killed: what that one left is in nobody’s way', async () => {
    const cert = await caOf(home);
    const { stdout: old } = await asRoot(
      home,
      'openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -days 2 -subj /CN=left 2>/dev/null',
    );
    // As killed between a link and the next, with a store half-written.
    await asRoot(home, `printf %s "$1" >${GUEST.caBundle}.new; find /etc/ssl/certs -lname bottle.pem -delete`, old);
    expect(await trusts(home, cert)).toEqual([true, false]);
    await provision(home);
    expect(await trusts(home, cert)).toEqual([true, true]);
    expect(certificatesIn(await storeOf(home))).toHaveLength(before.length + 1);
  });

  test.each([20, 200, 400, 700])('is whole after a run that was broken off after %i ms', async (ms) => {
    await provision(home, true, AbortSignal.timeout(ms)).catch(() => undefined);
    await provision(home);
    expect(await trusts(home, await caOf(home))).toEqual([true, true]);
    expect(certificatesIn(await storeOf(home))).toHaveLength(before.length + 1);
  });

  test('has a CA that has changed in the place of the old one', async () => {
    const old = await caOf(home);
    await removeBottleState(site.settings, home.bottle.id);
    await provision(home);
    const cert = await caOf(home);
    expect(cert).not.toBe(old);
    expect([await trusts(home, cert), await trusts(home, old)]).toEqual([
      [true, true],
      [false, false],
    ]);
    expect(certificatesIn(await storeOf(home))).toHaveLength(before.length + 1);
  });

  test('is changed by the programs of the image, not by one that the agent has put in their way', async () => {
    const other = site.bottle('ca');
    const network = await site.network(other);
    const spec = site.machineSpec(network);
    await site.driver.create(other, {
      ...spec,
      env: { ...spec.env, PATH: `${GUEST.workspace}:/usr/bin:/bin:/usr/sbin` },
    });
    await site.driver.start(other);
    const trap = {
      path: `${GUEST.workspace}/flock`,
      mode: 0o755,
      content: Buffer.from('#!/bin/sh\nid >/tmp/trapped\n'),
    };
    await site.driver.putFiles(other.id, [trap]);
    await provision({ bottle: other, network });
    expect((await asRoot({ bottle: other, network }, '/usr/bin/cat /tmp/trapped')).stdout).toBe('');
  });

  test('that cannot be changed says why, in the machine’s own words', async () => {
    const other = await site.machine('ca');
    await asRoot(other, 'rm /usr/sbin/update-ca-certificates');
    await expect(provision(other)).rejects.toMatchObject({
      code: 'PROVISION_FAILED',
      message: expect.stringMatching(/ended with 127: .*update-ca-certificates: not found/),
      hint: expect.stringContaining('ca-certificates'),
    });
    await site.driver.stop(other.bottle.id);
    await expect(provision(other)).rejects.toMatchObject({ code: 'MACHINE_NOT_RUNNING' });
  });
});

describe('a machine in the network of a company', () => {
  let world: World;
  let home: Home;
  let directory: string;
  let file: string;

  beforeAll(async () => {
    world = await startWorld({ docker: site.docker, image: site.images.guest });
    directory = await mkdtemp(path.join(os.tmpdir(), 'bottle-company-'));
    file = path.join(directory, 'company.pem');
    const plans: Partial<BundlePlans> = {
      pipelock: { allow: ['pkg.test private', 'git.test private'], intercept: false },
      ca: world.ca.file,
    };
    home = await site.machine('corp', plansOf(plans));
    const input = site.bundleInput(home.bottle, home.network, { uplink: world.network.name, plans });
    await ensureBundle(site, input, never);
  });
  afterAll(async () => {
    await site?.docker
      .getContainer(bundleName(home.bottle.id))
      .remove({ force: true, v: true })
      .catch(() => undefined);
    await world?.dispose();
    await rm(directory, { recursive: true, force: true });
  });

  const trust = async (...certificates: string[]): Promise<void> => {
    await writeFile(file, certificates.join('and\n'));
    await provisionCa(
      site,
      { bottle: home.bottle, driver: 'docker', intercept: false, ca: { file, digest: '' } },
      never,
    );
  };
  /** As the agent, in the environment that its machine was made with. */
  const agent = (script: string, env: Record<string, string> = {}) =>
    run(site.driver, home.bottle.id, ['sh', '-c', script], { env });

  test('trusts nothing more before it was told to', async () => {
    expect((await agent('curl -sS --max-time 20 https://pkg.test/tiny')).exitCode).toBe(60);
  });

  test('trusts each CA of a file that has several, and no longer those that were taken out of it', async () => {
    const [other, another] = [testCa(), testCa()];
    try {
      await trust(other.cert, world.ca.cert, another.cert);
      const stored = async () => {
        const store = await storeOf(home);
        return [other.cert, world.ca.cert, another.cert].map((cert) => store.includes(cert.trim()));
      };
      expect(await stored()).toEqual([true, true, true]);
      const linked = await asRoot(home, 'ls -l /etc/ssl/certs | grep -c "bottle-network-.*pem$"');
      expect(Number(linked.stdout)).toBeGreaterThanOrEqual(3);
      await trust(world.ca.cert);
      expect(await stored()).toEqual([false, true, false]);
      expect((await asRoot(home, `ls ${NETWORK_CA}*`)).stdout).toBe(`${NETWORK_CA}1.crt\n`);
    } finally {
      other.dispose();
      another.dispose();
    }
  });

  test.each([
    ['curl', 'curl -sS --max-time 20 https://pkg.test/tiny | grep -o \'"name":"tiny"\' | head -n 1'],
    [
      'the fetch of Node',
      `NODE_USE_ENV_PROXY=1 node -e "fetch('https://pkg.test/tiny').then((r) => r.text()).then((t) => console.log(/\\"name\\":\\"tiny\\"/.exec(t)[0]))"`,
    ],
  ])('lets %s reach a host that only the CA of its company has signed for', async (_who, script) => {
    expect(await agent(script)).toMatchObject({ exitCode: 0, stdout: '"name":"tiny"\n' });
  });

  test('lets Python do so, where the image has it', async ({ skip }) => {
    const hasPython = (await agent('command -v python3')).exitCode === 0;
    skip(!hasPython, 'this guest image has no Python');
    const script = `import json, urllib.request; print(json.load(urllib.request.urlopen('https://pkg.test/tiny'))['name'])`;
    expect(await agent(`python3 -c "${script}"`)).toMatchObject({ exitCode: 0, stdout: 'tiny\n' });
  });

  test('lets git do so, with its variables and without them', async () => {
    const url = `https://agent:${world.gitToken}@git.test/team/app.git`;
    const clone = `rm -rf /tmp/app; git clone -q ${url} /tmp/app && git -C /tmp/app log --format=%s -1`;
    const bare = Object.keys(caEnvironment()).join(' ');
    for (const script of [clone, `unset ${bare}; ${clone}`])
      expect(await agent(script)).toMatchObject({ exitCode: 0, stdout: 'Explain\n' });
  });

  test('trusts nothing of it any more once config.yaml has none', async () => {
    await provision(home, false);
    expect(await storeOf(home)).not.toContain(world.ca.cert.trim());
    expect((await agent('curl -sS --max-time 20 https://pkg.test/tiny')).exitCode).toBe(60);
  });

  test('says why not, before it has changed anything, where the file is gone', async () => {
    await rm(file);
    const ca = { file, digest: '' };
    await expect(
      provisionCa(site, { bottle: home.bottle, driver: 'docker', intercept: false, ca }, never),
    ).rejects.toMatchObject({ code: 'MANIFEST_INVALID', message: expect.stringContaining('cannot be read (ENOENT)') });
  });
});

describe.runIf(isPipelock)('a bottle that intercepts', () => {
  let world: World;
  let home: Home;
  let input: BundleInput;
  let bundle: string;
  let machine: string;
  let ca: { cert: string; key: string };

  beforeAll(async () => {
    world = await startWorld({ docker: site.docker, image: site.images.guest });
    const plans: Partial<BundlePlans> = {
      pipelock: {
        allow: ['pkg.test private', 'git.test private', 'echo.test private', 'big.test tunnel private'],
        intercept: true,
      },
      egress: { routes: [routeTo('echo.test')] },
      ca: world.ca.file,
    };
    home = await site.machine('icpt', plansOf(plans));
    [bundle, machine] = [bundleName(home.bottle.id), machineName(home.bottle.id)];
    input = site.bundleInput(home.bottle, home.network, { uplink: world.network.name, scanner: 'pipelock', plans });
    await Promise.all([ensureBundle(site, input, never), provision(home)]);
    ca = await ensureBottleCa(site.settings, home.bottle.id);
  });
  afterAll(async () => {
    // Its network cannot go while the bundle is on it.
    await site?.docker
      .getContainer(bundle)
      .remove({ force: true, v: true })
      .catch(() => undefined);
    await world?.dispose();
  });

  /** As the agent, with what its machine tells it of the CA. */
  const agent = (argv: string[], env: Record<string, string> = {}) =>
    run(site.driver, home.bottle.id, argv, { env: { ...caEnvironment(), ...env } });
  const curl = (...argv: string[]) => agent(['curl', '-sS', '--max-time', '100', ...argv]);
  const statusOf = async (...argv: string[]): Promise<string> =>
    (await curl('-o', '/dev/null', '-w', '%{http_code}', ...argv)).stdout;
  const recorded = async (marker: string): Promise<Recorded[]> =>
    (await world.requests()).filter((request) => JSON.stringify(request).includes(marker));
  const secret = (): string => `sk-ant-${'api03'}-${randomBytes(24).toString('hex')}`;
  const issuerOf = async (host: string): Promise<string> => {
    const script = `openssl s_client -proxy "$1" -connect "$2:443" -servername "$2" </dev/null 2>/dev/null | openssl x509 -noout -issuer`;
    return (await agent(['sh', '-c', script, 'sh', `${home.network.bundleIp}:${PIPELOCK_PORT}`, host])).stdout.trim();
  };

  test('shows each host with a certificate of its own CA, but for those of a tunnel', async () => {
    expect(await issuerOf('pkg.test')).toBe(`issuer=CN = bottleworks ${home.bottle.id}`);
    expect(await issuerOf('big.test')).toBe('issuer=CN = bottleworks test CA');
  });

  test.each([
    ['with the variables that name it', []],
    ['without them', Object.keys(caEnvironment()).flatMap((name) => ['-u', name])],
  ])('is trusted by curl, git and openssl %s', async (_how, unset) => {
    const bare = (argv: string[]) => agent(['env', ...unset, ...argv]);
    expect(await bare(['curl', '-sS', '--max-time', '20', 'https://pkg.test/tiny'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('"tiny"'),
    });
    const url = `https://agent:${world.gitToken}@git.test/team/app.git`;
    const cloned = await bare([
      'sh',
      '-c',
      'rm -rf /tmp/app && git clone -q "$1" /tmp/app && git -C /tmp/app log --format=%s -1',
      'sh',
      url,
    ]);
    expect(cloned).toMatchObject({ exitCode: 0, stdout: 'Explain\n' });
    const script = 'openssl s_client -verify_return_error -proxy "$1" -connect pkg.test:443 </dev/null';
    const proxy = `${home.network.bundleIp}:${PIPELOCK_PORT}`;
    expect((await bare(['sh', '-c', script, 'sh', proxy])).stdout).toContain('Verify return code: 0 (ok)');
  });

  test('is trusted by Node because of its variable, and by a fetch through the proxy', async () => {
    const script = `fetch('https://pkg.test/tiny').then((r) => r.json()).then(({ name }) => console.log(name))`;
    const proxied = { NODE_USE_ENV_PROXY: '1' };
    expect(await agent(['node', '-e', script], proxied)).toMatchObject({ exitCode: 0, stdout: 'tiny\n' });
    const without = await agent(['node', '-e', script], { ...proxied, NODE_EXTRA_CA_CERTS: '' });
    expect([without.exitCode, without.stderr]).toEqual([1, expect.stringContaining('UNABLE_TO_VERIFY_LEAF_SIGNATURE')]);
  });

  test('speaks HTTP/2 and HTTP/1.1, and passes what was asked and answered', async () => {
    const marker = `/${randomUUID()}`;
    for (const version of ['--http2', '--http1.1']) {
      const { stdout } = await curl(
        version,
        '-X',
        'PUT',
        '-H',
        'X-Mine: 1',
        '-d',
        'a=1',
        `https://echo.test${marker}?q=1`,
      );
      expect(JSON.parse(stdout)).toMatchObject({
        method: 'PUT',
        path: `${marker}?q=1`,
        bodyLength: 3,
        headers: { host: 'echo.test', 'x-mine': '1', 'content-type': 'application/x-www-form-urlencoded' },
      });
    }
    expect(await statusOf('https://echo.test/401')).toBe('401');
    expect((await curl('-I', 'https://pkg.test/tiny')).stdout).toContain('200');
    expect((await curl('--compressed', 'https://echo.test/gzip')).stdout).toContain('"method":"GET"');
  });

  test.each<[string, (key: string) => string[]]>([
    ['a form', (key) => ['-d', `note=${key}`]],
    ['JSON', (key) => ['-H', 'Content-Type: application/json', '-d', JSON.stringify({ deep: [{ key }] })]],
    [
      'a file of some kind',
      (key) => ['-H', 'Content-Type: application/octet-stream', '--data-binary', `\u0001 ${key}`],
    ],
    ['a header', (key) => ['-H', `Authorization: Bearer ${key}`]],
    ['the address', (key) => ['-G', '-d', `key=${key}`]],
  ])('lets no secret out to an allowed host, in %s', async (_where, argvOf) => {
    const [key, marker] = [secret(), `/${randomUUID()}`];
    const { stdout } = await curl('-w', ' %{http_code}', ...argvOf(key), `https://echo.test${marker}`);
    expect(stdout).toMatch(/^blocked: .* 403$/s);
    expect(await recorded(marker)).toEqual([]);
  });

  test('does not look into a tunnel', async () => {
    const [key, marker] = [secret(), `/${randomUUID()}`];
    await site.driver.putFiles(home.bottle.id, [
      { path: '/tmp/world.pem', mode: 0o644, content: Buffer.from(world.ca.cert) },
    ]);
    expect(await statusOf('--cacert', '/tmp/world.pem', '-d', `note=${key}`, `https://big.test${marker}`)).toBe('200');
    expect(await recorded(key)).toHaveLength(1);
    // The bottle's own CA has not signed for it.
    expect((await curl(`https://big.test${marker}`)).exitCode).toBe(60);
  });

  test('takes no certificate of an upstream that nobody has signed for', async () => {
    const untrusting = { ...input.plans, ca: null };
    await ensureBundle(site, { ...input, plans: untrusting }, never);
    expect(await statusOf('https://pkg.test/tiny')).toBe('502');
    await ensureBundle(site, input, never);
    expect(await statusOf('https://pkg.test/tiny')).toBe('200');
  });

  test('passes a package whole, and events as they come', async () => {
    const { url, sha256 } = world.pkg.file;
    const { stdout } = await agent(['sh', '-c', 'curl -sS "$1" | sha256sum', 'sh', url]);
    expect(stdout.slice(0, 64)).toBe(sha256);
    const events = 'timeout 5 curl -sSN "https://echo.test/slow-sse?n=5000&ms=1000" | head -n 5';
    expect((await agent(['sh', '-c', events])).stdout).toBe('event: tick\ndata: 0\n\nevent: tick\ndata: 1\n');
  });

  test('gives an answer over the limit not at all, rather than a part of it', async () => {
    const { stdout } = await curl(
      '-w',
      ' %{http_code}',
      `https://echo.test/bytes?n=${SCANNER_LIMITS.interceptedMiB * MIB + 1}`,
    );
    expect(stdout).toBe('blocked: response too large for scanning\n 403');
  });

  test('refuses what is compressed on its way out, as a long request of git is', async () => {
    const url = `https://agent:${world.gitToken}@git.test/team/app.git`;
    const script = `set -e; rm -rf /tmp/long; git clone -q "$1" /tmp/long; cd /tmp/long; export GIT_AUTHOR_NAME=a \
      GIT_AUTHOR_EMAIL=a@a.test GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@a.test
      for n in $(seq 40); do git commit -q --allow-empty -m "$n"; done; echo ready`;
    expect((await agent(['sh', '-c', script, 'sh', url])).stdout).toBe('ready\n');
    await world.commit({ repository: 'team/app', branch: 'other', file: 'a', content: 'a', message: 'a' });
    const fetched = await agent(['git', '-C', '/tmp/long', 'fetch', '-q']);
    expect([fetched.exitCode, fetched.stderr]).toEqual([128, expect.stringContaining('error: 403')]);
  });

  test('is no tunnel to egress either, which the machine would now trust', async () => {
    const marker = `/${randomUUID()}`;
    const { stdout } = await curl('-p', '-w', ' %{http_code}', `https://egress:9099/echo.test${marker}`);
    expect(stdout).not.toContain('bodyLength');
    expect((await curl('-p', `${EGRESS_URL}/echo.test${marker}`)).stdout).not.toContain('bodyLength');
    expect(await recorded(marker)).toEqual([]);
    expect(await statusOf(`${EGRESS_URL}/echo.test${marker}`)).toBe('200');
  });

  test('keeps the key with pipelock: no other daemon, no command line, no environment, no log, no machine has it', async () => {
    const as = (uid: number, script: string) => runIn(site, bundle, ['sh', '-c', script], `${uid}:${uid}`);
    const mine = DAEMON_USERS.pipelock;
    const listed = await as(mine, `stat -c '%u %a' ${PIPELOCK_FILES.caCert} ${PIPELOCK_FILES.caKey}`);
    expect(listed.stdout).toBe(`${mine} 600\n${mine} 600\n`);
    expect((await as(mine, `cat ${PIPELOCK_FILES.caKey}`)).stdout).toBe(ca.key);
    for (const uid of [DAEMON_USERS.egress, DAEMON_USERS['git-gate'], DAEMON_USERS.supervise, 0, 65_534]) {
      const read = await as(uid, `cat ${PIPELOCK_FILES.caKey}`);
      expect({ uid, stdout: read.stdout, denied: read.stderr.includes('denied') }).toEqual({
        uid,
        stdout: '',
        denied: true,
      });
    }
    const [, line = ''] = ca.key.split('\n');
    const readable = await Promise.all(
      Object.values(DAEMON_USERS).map((uid) => as(uid, 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null')),
    );
    const logs = await site.docker.getContainer(bundle).logs({ stdout: true, stderr: true, follow: false });
    const seen = [...readable.map(({ stdout }) => stdout), logs.toString(), JSON.stringify(await site.inspect(bundle))];
    expect(seen.join('\n')).toContain('pipelock');
    expect(seen.filter((text) => text.includes(line))).toEqual([]);
    expect(
      (await runIn(site, machine, ['grep', '-rlsF', line, '/etc', '/usr/local', '/home', '/tmp', '/run'])).stdout,
    ).toBe('');
  });

  test('signs with the same CA after a death of pipelock', async () => {
    const before = (await daemonsIn(site, bundle)).pipelock;
    await runIn(site, bundle, ['sh', '-c', `kill -9 ${before.pid}`]);
    await daemonsUntil(site, bundle, ({ pipelock }) => pipelock.state === 'ready' && pipelock.pid !== before.pid);
    expect(await statusOf('https://pkg.test/tiny')).toBe('200');
  });

  test('takes another host while it runs, and reads that one too', async () => {
    const { plans } = input;
    const allow = plans.pipelock.allow.filter((entry) => !entry.startsWith('echo.test'));
    await ensureBundle(site, { ...input, plans: { ...plans, pipelock: { allow, intercept: true } } }, never);
    expect((await curl('-o', '/dev/null', '-w', '%{http_connect}', 'https://echo.test/')).stdout).toBe('403');
    await ensureBundle(site, input, never);
    expect(await statusOf('-d', `note=${secret()}`, 'https://echo.test/')).toBe('403');
    expect(await statusOf('https://echo.test/')).toBe('200');
  });

  test('signs with another CA once that was made, and the machine trusts that instead', async () => {
    const before = (await daemonsIn(site, bundle)).pipelock;
    await rm(path.join(site.settings.state, 'bottles', home.bottle.id, 'ca.pem'));
    await ensureBundle(site, input, never);
    expect((await daemonsIn(site, bundle)).pipelock.pid).not.toBe(before.pid);
    expect((await curl('https://pkg.test/tiny')).exitCode).toBe(60);
    await provision(home);
    expect(await statusOf('https://pkg.test/tiny')).toBe('200');
    const fresh = await ensureBottleCa(site.settings, home.bottle.id);
    expect(new X509Certificate(fresh.cert).serialNumber).not.toBe(new X509Certificate(ca.cert).serialNumber);
  });

  test('that does so no more tunnels again, and its old CA is gone from the bundle', async () => {
    const { plans } = input;
    await ensureBundle(
      site,
      { ...input, plans: { ...plans, pipelock: { ...plans.pipelock, intercept: false } } },
      never,
    );
    expect(await issuerOf('pkg.test')).toBe('issuer=CN = bottleworks test CA');
    const { stdout } = await runIn(
      site,
      bundle,
      ['sh', '-c', `cat ${PIPELOCK_FILES.caKey}; ls ${PIPELOCK_FILES.upstreamCa}`],
      '8001:8001',
    );
    expect(stdout).toContain('PRIVATE KEY');
    expect(stdout).not.toContain(ca.key);
    expect(stdout).not.toContain('upstream');
  });
});
