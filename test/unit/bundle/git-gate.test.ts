import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startGitGate } from '../../../src/bundle/git-gate.ts';
import { repositoryIn } from '../../../src/bundle/git-gate-repository.ts';
import { freePort } from '../../support/free-port.ts';
import { callOf, filesBelow, type GitGateSite, gitGateSite } from '../../support/git-gate-site.ts';
import { gitleaksDirectory } from '../../support/gitleaks.ts';
import { type HttpProxy, httpProxy } from '../../support/http-proxy.ts';
import { testCa } from '../../support/test-ca.ts';

const gitleaks = await gitleaksDirectory();
const pathBefore = process.env['PATH'];
process.env['PATH'] = `${gitleaks}${path.delimiter}${pathBefore}`;
afterAll(() => {
  process.env['PATH'] = pathBefore;
});

let site: GitGateSite;
beforeEach(async () => {
  site = await gitGateSite();
});
afterEach(() => site.dispose());

const ca = testCa();
afterAll(() => ca.dispose());

const listen = { host: '127.0.0.1', port: 0 };
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** The argument lists (or, by `what`, environments) of this test's descendants that run git or ssh now. */
function processes(what: 'cmdline' | 'environ'): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        if (!/^[^\0]*\b(?:git|git-remote-https|ssh)\0/.test(command)) return [];
        return readFileSync(`/proc/${pid}/${what}`, 'latin1').replaceAll('\0', ' ');
      } catch {
        return []; // over
      }
    });
}

/** A request to the gate as no client of ours would make it; the target goes out as it is. */
async function ask(
  target: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
): Promise<{ status: number; body: string }> {
  const { method = 'GET', headers = {}, body } = options;
  const { port } = new URL(site.url);
  const asking = request({ host: '127.0.0.1', port, path: target, method, headers });
  asking.end(body);
  const [response] = await once(asking, 'response');
  return { status: response.statusCode, body: await text(response) };
}

describe('an agent reads', () => {
  it('what upstream has at that moment, and nothing that is gone', async () => {
    const clone = await site.clone();
    const head = site.upstream.commit('main', { 'later.txt': 'later\n' });
    const topic = site.upstream.commit('topic', { 'topic.txt': 'topic\n' });
    site.upstream.git('tag', 'v1', head);
    await clone.must('fetch', '--quiet', '--prune', '--tags');
    expect(await clone.must('rev-parse', 'origin/main', 'origin/topic', 'v1')).toBe([head, topic, head].join('\n'));
    site.upstream.git('update-ref', '-d', 'refs/heads/topic');
    await clone.must('fetch', '--quiet', '--prune');
    expect(await clone.must('branch', '--remotes', '--list', '*/topic')).toBe('');
    expect(Object.keys(await site.mirror()).toSorted()).toEqual(['refs/heads/main', 'refs/tags/v1']);
  });

  it('a history that upstream has rewritten, as well', async () => {
    const clone = await site.clone();
    site.upstream.git('update-ref', '-d', 'refs/heads/main');
    const head = site.upstream.commit('main', { 'anew.txt': 'anew\n' });
    await clone.must('fetch', '--quiet');
    expect(await clone.must('rev-parse', 'origin/main')).toBe(head);
  });

  it('the branch that upstream calls its first', async () => {
    site.upstream.commit('trunk', { 'trunk.txt': 'trunk\n' });
    site.upstream.git('symbolic-ref', 'HEAD', 'refs/heads/trunk');
    const clone = await site.clone();
    expect(await clone.must('branch', '--show-current')).toBe('trunk');
  });

  it('only branches and tags', async () => {
    site.upstream.git('update-ref', 'refs/pull/1/head', 'refs/heads/main');
    await site.clone();
    expect(Object.keys(await site.mirror())).toEqual(['refs/heads/main']);
  });

  it('with a compressed and with a chunked question the same', async () => {
    await site.clone();
    const question = Buffer.from('0014command=ls-refs\n0001001bref-prefix refs/heads/\n0000');
    const headers = { 'Content-Type': 'application/x-git-upload-pack-request', 'Git-Protocol': 'version=2' };
    const target = '/project.git/git-upload-pack';
    const plain = await ask(target, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': String(question.length) },
      body: question,
    });
    expect(plain).toMatchObject({ status: 200, body: expect.stringContaining('refs/heads/main') });
    const zipped = gzipSync(question);
    const more = { 'Content-Encoding': 'gzip', 'Content-Length': String(zipped.length) };
    expect(await ask(target, { method: 'POST', headers: { ...headers, ...more }, body: zipped })).toEqual(plain);
    const chunked = { ...headers, 'Transfer-Encoding': 'chunked' };
    expect(await ask(target, { method: 'POST', headers: chunked, body: question })).toEqual(plain);
  });

  it('and each look at upstream is in the log', async () => {
    await site.clone();
    expect(site.events).toEqual([
      { event: 'refresh', repo: 'project', status: 'ok' },
      { event: 'fetch', repo: 'project', status: 'ok' },
    ]);
  });
});

describe.skipIf(gitleaks === undefined)('an agent writes', () => {
  it('five megabytes, and reads them back', { timeout: 120_000 }, async () => {
    const clone = await site.clone();
    const big = randomBytes(5 * 1024 * 1024);
    await clone.commit({ 'big.bin': big });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    const again = await site.clone();
    expect(readFileSync(path.join(again.directory, 'big.bin')).equals(big)).toBe(true);
  });

  it('the first commit of an empty upstream', async () => {
    site.upstream.git('update-ref', '-d', 'refs/heads/main');
    const clone = await site.clone();
    const head = await clone.commit({ 'a.txt': 'a\n' });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    expect(site.upstream.refs()).toEqual({ 'refs/heads/main': head });
  });

  it('while nobody else reads: a fetch waits for the end of a push', async () => {
    const clone = await site.clone();
    const head = await clone.commit({ 'a.txt': 'a\n' });
    site.events.length = 0;
    const { arrived, release } = site.upstream.hold('/project.git/git-receive-pack');
    const pushing = clone.git('push', 'origin', 'main');
    await arrived;
    const reading = ask('/project.git/info/refs?service=git-upload-pack');
    // So that it has got to where it must wait, and could have got past it.
    for (let turn = 0; turn < 300; turn += 1) await ask('/nothing');
    release();
    expect(await pushing).toMatchObject({ code: 0 });
    expect(await reading).toMatchObject({ status: 200, body: expect.stringContaining(head) });
    expect(site.events.map(({ event }) => event)).toEqual(['refresh', 'push', 'refresh', 'fetch']);
  });

  it('or leaves in the middle: then its push ends, and others get their turn', async () => {
    const clone = await site.clone();
    await clone.commit({ 'a.txt': 'a\n' });
    const { arrived, release } = site.upstream.hold('/project.git/git-receive-pack');
    const { host } = new URL(site.url);
    const agent = spawn('git', ['-C', clone.directory, 'push', '--quiet', `http://${host}/project.git`, 'main'], {
      detached: true,
      stdio: 'ignore',
    });
    await arrived;
    process.kill(-(agent.pid as number), 'SIGKILL');
    expect(await clone.git('fetch', 'origin')).toMatchObject({ code: 0 });
    release();
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
  });
});

it('who asks while a look at upstream waits or runs shares it', async () => {
  const root = mkdtempSync(path.join(os.tmpdir(), 'bottle-gate-'));
  try {
    for (const part of ['repositories', 'home', 'hooks']) mkdirSync(path.join(root, part));
    const looks: string[] = [];
    const repository = repositoryIn(root, 'project', (status) => looks.push(status));
    await repository.configure(site.repo());
    const { arrived, release } = site.upstream.hold('info/refs');
    const first = [repository.refresh(), repository.refresh()];
    await arrived;
    const second = [repository.refresh(), repository.refresh()];
    release();
    expect(await Promise.all([...first, ...second])).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(looks).toEqual(['ok']);
    await repository.refresh();
    expect(looks).toEqual(['ok', 'ok']);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

it('clones at the same time all succeed', async () => {
  await Promise.all([site.clone(), site.clone(), site.clone(), site.clone()]);
  expect(site.events.filter(({ event }) => event === 'fetch')).toHaveLength(4);
});

describe('what is not smart HTTP to a repository of the gate is not there', () => {
  it.each([
    ...['/', '/project', '/project.git', '/project.git/', '/project.git/HEAD', '/project.git/config'],
    ...[
      '/project.git/info/refs',
      '/project.git/info/refs?service=git-upload-archive',
      '/project.git/objects/info/packs',
    ],
    ...['/project.git/info/refs?service=git-upload-pack&x=1', '/project.git/git-upload-pack', '/other.git/info/refs'],
    ...['/../project.git/info/refs?service=git-upload-pack', '/x/../project.git/info/refs?service=git-upload-pack'],
    ...['/%70roject.git/info/refs?service=git-upload-pack', '//project.git/info/refs?service=git-upload-pack'],
    ...['/project.git/../project.git/info/refs?service=git-upload-pack', '/.git/info/refs?service=git-upload-pack'],
    ...['/../secrets/project/credential', '/__proto__.git/info/refs?service=git-upload-pack'],
    'http://127.0.0.1/project.git/info/refs?service=git-upload-pack',
  ])('GET %s', async (target) => {
    expect(await ask(target)).toEqual({ status: 404, body: 'git-gate: no such repository\n' });
  });

  it.each(['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND', 'POST'])('%s of what may be read', async (method) => {
    const { status } = await ask('/project.git/info/refs?service=git-upload-pack', { method });
    expect(status).toBe(404);
  });

  it('nor does any of it make the gate look upstream', async () => {
    await ask('/project.git/info/refs');
    expect(site.upstream.requests).toEqual([]);
  });
});

describe('the upstream cannot be used', () => {
  it('when it is down: clone, fetch and push fail with the reason, and pass when it is back', async () => {
    const clone = await site.clone();
    await clone.commit({ 'a.txt': 'a\n' });
    await site.upstream.down();
    const reason = /fatal: remote error: git-gate: the upstream cannot be reached: .*Failed to connect to 127\.0\.0\.1/;
    for (const args of [
      ['clone', `${site.url}/project.git`, 'new'],
      ['-C', clone.directory, 'fetch'],
      ['-C', clone.directory, 'push'],
    ]) {
      const { code, output } = await site.agent(...args);
      expect(code).toBe(128);
      expect(output).toMatch(reason);
    }
    expect(site.events.at(-1)).toMatchObject({
      event: 'refresh',
      status: expect.stringMatching(/^the upstream cannot be/),
    });
    await site.upstream.up();
    expect(await clone.git('fetch')).toMatchObject({ code: 0 });
  });

  it('when the token is wrong: that is said, and the token is not, whatever upstream echoes', async () => {
    const token = ['wrong', 'token', '12345'].join('-');
    const basic = Buffer.from(`${site.upstream.user}:${token}`).toString('base64');
    await site.configure({ auth: { kind: 'token', user: site.upstream.user, token } });
    const { code, output } = await site.agent('clone', `${site.url}/project.git`, 'new');
    expect(code).toBe(128);
    expect(output).toContain('git-gate: the upstream refused the credential: remote: not known: Basic ***');
    for (const secret of [token, basic]) expect(output + JSON.stringify(site.events)).not.toContain(secret);
    await site.configure();
    await site.clone();
  });

  it('when its certificate is from a CA that nobody named', async () => {
    await site.configure({ ca: null });
    const { output } = await site.agent('clone', `${site.url}/project.git`, 'new');
    expect(output).toMatch(/git-gate: the upstream cannot be used: .*certificate/i);
  });

  it.each(['file:///tmp/x.git', 'http://127.0.0.1/x.git', 'ext::sh -c whoami'])(
    'when it is %s, which is neither https nor ssh',
    async (upstream) => {
      await site.configure({ upstream, auth: null });
      const { output } = await site.agent('clone', `${site.url}/project.git`, 'new');
      expect(output).toMatch(/git-gate: the upstream cannot be used: fatal: transport '\w+' not allowed/);
    },
  );
});

describe('the credential', () => {
  it.runIf(existsSync('/proc/self/environ'))('is in no argument list and no environment of a process', async () => {
    const { arrived, release } = site.upstream.hold('git-upload-pack');
    const cloning = site.clone();
    await arrived;
    const [commands, environments] = [processes('cmdline').join('\n'), processes('environ').join('\n')];
    release();
    await cloning;
    expect(commands).toContain(`git --git-dir ${site.root}/repositories/project.git fetch`);
    expect(environments).toContain(`HOME=${site.root}/home`);
    const basic = Buffer.from(`${site.upstream.user}:${site.upstream.token}`).toString('base64');
    for (const secret of [site.upstream.token, basic]) {
      expect(commands).not.toContain(secret);
      expect(environments).not.toContain(secret);
    }
  });

  it('is in two files that nobody else can read, not in the repository', async () => {
    await site.clone();
    const holders = Object.entries(filesBelow(site.root)).flatMap(([file, content]) =>
      content.includes(site.upstream.token) ? file : [],
    );
    const secrets = path.join(site.root, 'secrets', 'project');
    expect(holders.toSorted()).toEqual([path.join(secrets, 'credential'), path.join(secrets, 'hook.json')]);
    for (const file of holders) expect(statSync(file).mode & 0o777).toBe(0o600);
    for (const directory of [secrets, path.dirname(secrets), path.join(site.root, 'repositories')]) {
      expect(statSync(directory).mode & 0o777).toBe(0o700);
    }
  });

  it('goes with another kind of credential, and with the repository', async () => {
    const secrets = path.join(site.root, 'secrets', 'project');
    await site.configure({ auth: { kind: 'ssh-key', key: 'KEY', knownHosts: 'host ssh-ed25519 AAAA' }, ca: null });
    expect(readdirSync(secrets).toSorted()).toEqual(['hook.json', 'key', 'known_hosts']);
    expect(statSync(path.join(secrets, 'key')).mode & 0o777).toBe(0o600);
    await site.gate.configure({ listen, repos: [] });
    expect(readdirSync(path.dirname(secrets))).toEqual([]);
    expect(readdirSync(path.join(site.root, 'repositories'))).toEqual([]);
  });

  it('is given to the upstream only, not to where it is sent on', async () => {
    const { cert, key } = ca.issue(['127.0.0.1']);
    const asked: string[] = [];
    const elsewhere = createHttpsServer({ cert, key }, (message, response) => {
      asked.push(message.headers.authorization ?? 'nobody');
      response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end();
    });
    const sendsOn = createHttpsServer({ cert, key }, (message, response) => {
      response.writeHead(302, { Location: `https://127.0.0.1:${portOf(elsewhere)}${message.url}` }).end();
    });
    for (const server of [elsewhere, sendsOn]) await once(server.listen(0, '127.0.0.1'), 'listening');
    await site.configure({ upstream: `https://127.0.0.1:${portOf(sendsOn)}/project.git`, ca: ca.cert });
    const { output } = await site.agent('clone', `${site.url}/project.git`, 'new');
    for (const server of [elsewhere, sendsOn]) server.close();
    expect(output).toContain('git-gate: the upstream refused the credential');
    expect(new Set(asked)).toEqual(new Set(['nobody']));
  });
});

describe('by the proxy of a company', () => {
  const login = { username: 'me', password: 'p:w/secret' };
  let proxy: HttpProxy;
  beforeEach(async () => {
    proxy = await httpProxy({ login });
  });
  afterEach(() => proxy.close());

  it.skipIf(gitleaks === undefined)(
    'it clones and pushes, and its login is in no environment and no command',
    async () => {
      await site.configure({}, proxy.upstream);
      const clone = await site.clone();
      const head = await clone.commit({ 'a.txt': 'a\n' });
      site.aroundHook({
        before: `env > ${site.root}/environment; cat /proc/[0-9]*/cmdline > ${site.root}/commands 2>/dev/null`,
      });
      expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
      expect(site.upstream.refs()['refs/heads/main']).toBe(head);
      const { host } = new URL(site.upstream.url);
      expect(new Set(proxy.asked.filter((line) => !line.endsWith(' 407')))).toEqual(new Set([`CONNECT ${host}`]));
      for (const name of ['environment', 'commands'])
        expect(readFileSync(path.join(site.root, name), 'latin1')).not.toMatch(/p:w\/secret|p%3Aw/);
    },
  );

  it.each([
    ['refuses the login', { login: { ...login, password: 'wrong' } }, 'the proxy refuses the login'],
    ['wants a login', { login: null }, 'the proxy refuses the login'],
    ['is not there', { host: 'proxy.invalid' }, 'the proxy cannot be found'],
  ])('that %s: so the agent is told', async (_what, change, reason) => {
    await site.configure({}, { ...proxy.upstream, ...change });
    const { output } = await site.agent('clone', `${site.url}/project.git`, 'new');
    expect(output).toContain(`git-gate: ${reason}`);
    expect(output).not.toContain('p:w');
  });

  it('a host of its list is reached without it', async () => {
    await site.configure({}, { ...proxy.upstream, noProxy: ['127.0.0.0/8'] });
    await site.clone();
    expect(proxy.asked).toEqual([]);
  });
});

it.each([
  ['cannot be resolved', 'https://git.invalid/x.git', "the upstream's name cannot be resolved"],
  ['does not listen', 'https://127.0.0.1:1/x.git', 'the upstream cannot be reached'],
])('an upstream that %s is told apart from one that refuses', async (_what, upstream, reason) => {
  await site.configure({ upstream });
  const { output } = await site.agent('clone', `${site.url}/project.git`, 'new');
  expect(output).toContain(`git-gate: ${reason}`);
});

describe('over ssh (an ssh of the test that writes down how it is called and runs the command here)', () => {
  it.skipIf(gitleaks === undefined)('the key, the known hosts and nothing else of this host are used', async () => {
    const fake = path.join(site.root, '..', 'programs');
    const calls = path.join(fake, 'calls');
    mkdirSync(calls, { recursive: true });
    const script = `#!/bin/sh\nprintf '%s\\n' "$@" > ${calls}/$$\nfor last; do :; done\nexec env -i PATH="$PATH" sh -c "$last"\n`;
    writeFileSync(path.join(fake, 'ssh'), script, { mode: 0o755 });
    const before = process.env['PATH'];
    process.env['PATH'] = `${fake}${path.delimiter}${before}`;
    await site.configure({
      upstream: `ssh://git@host.test:2222${site.upstream.directory}`,
      auth: { kind: 'ssh-key', key: 'the\nkey', knownHosts: '[host.test]:2222 ssh-ed25519 AAAA' },
      ca: null,
    });
    process.env['PATH'] = before;
    const clone = await site.clone();
    const head = await clone.commit({ 'a.txt': 'a\n' });
    expect(await clone.git('push', 'origin', 'main')).toMatchObject({ code: 0 });
    expect(site.upstream.refs()['refs/heads/main']).toBe(head);

    const secrets = path.join(site.root, 'secrets', 'project');
    const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes', 'ConnectTimeout=30'];
    options.push('ServerAliveInterval=30', `UserKnownHostsFile="${secrets}/known_hosts"`);
    expect(readdirSync(calls).length).toBeGreaterThan(2);
    for (const call of Object.values(filesBelow(calls))) {
      const args = call
        .trim()
        .split('\n')
        .filter((arg) => arg !== 'SendEnv=GIT_PROTOCOL');
      expect(args.slice(0, 4)).toEqual(['-F', 'none', '-i', `${secrets}/key`]);
      expect(args.filter((_, index) => args[index - 1] === '-o' && args[index]?.includes('='))).toEqual(options);
      expect(args.slice(-4, -1)).toEqual(['-p', '2222', 'git@host.test']);
    }
    expect(readFileSync(`${secrets}/key`, 'utf8')).toBe('the\nkey\n');
    expect(readFileSync(`${secrets}/known_hosts`, 'utf8')).toBe('[host.test]:2222 ssh-ed25519 AAAA\n');
  });
});

describe('a later configuration', () => {
  it('adds and takes away repositories in place', async () => {
    const clone = await site.clone();
    await site.gate.configure({ listen, repos: [site.repo(), site.repo({ name: 'second' })] });
    expect(await site.agent('clone', '--quiet', `${site.url}/second.git`, 'second')).toMatchObject({ code: 0 });
    await site.gate.configure({ listen, repos: [site.repo({ name: 'second' })] });
    const { code, output } = await clone.git('fetch');
    expect(code).toBe(128);
    expect(output).toContain('not found');
    expect(readdirSync(path.join(site.root, 'repositories'))).toEqual(['second.git']);
    expect(await site.agent('-C', 'second', 'fetch')).toMatchObject({ code: 0 });
  });

  it('with another upstream of a name begins a new mirror', async () => {
    await site.clone();
    const other = await gitGateSite();
    try {
      const head = other.upstream.refs()['refs/heads/main'];
      const { user, token, url, ca } = other.upstream;
      await site.configure({ upstream: url, auth: { kind: 'token', user, token }, ca });
      expect(await site.mirror()).toEqual({});
      await site.clone();
      expect(await site.mirror()).toEqual({ 'refs/heads/main': head });
    } finally {
      await other.dispose();
    }
  });

  it('with the same upstream keeps the mirror', async () => {
    await site.clone();
    await site.configure({ allowForce: true });
    expect(await site.mirror()).toEqual(site.upstream.refs());
  });

  it.each(['../x', 'a/b', '', '.git', 'A', 'a b', '-x'])('cannot have a repository of the name %j', async (name) => {
    await expect(site.gate.configure({ listen, repos: [site.repo({ name })] })).rejects.toThrow(/not a name/);
    await site.clone();
  });
});

it('a gate that starts where another one died takes away what is no longer asked for, and stale locks', async () => {
  await site.gate.configure({ listen, repos: [site.repo(), site.repo({ name: 'old' })] });
  await site.clone();
  await site.gate.close();
  const mirror = path.join(site.root, 'repositories', 'project.git');
  for (const lock of ['packed-refs.lock', 'HEAD.lock', 'refs/heads/main.lock'])
    writeFileSync(path.join(mirror, lock), '');
  const head = site.upstream.commit('main', { 'later.txt': 'later\n' });
  const next = startGitGate({ root: site.root, hookCommand: ['false'], log: () => {} });
  try {
    await next.configure({ listen, repos: [site.repo()] });
    const url = `http://127.0.0.1:${next.port()}/project.git`;
    expect(await site.agent('clone', '--quiet', url, 'new')).toMatchObject({ code: 0 });
    expect(await site.mirror()).toEqual({ 'refs/heads/main': head });
    expect(readdirSync(path.join(site.root, 'repositories'))).toEqual(['project.git']);
  } finally {
    await next.close();
  }
});

describe('the daemon', () => {
  let daemon: ChildProcess;
  const lines: string[] = [];
  beforeEach(() => {
    lines.length = 0;
    const root = path.join(site.root, '..', 'daemon');
    daemon = spawn(process.execPath, callOf('bundle/git-gate.ts', `runGitGate(${JSON.stringify(root)})`), {
      env: { PATH: process.env['PATH'] },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    createInterface({ input: daemon.stdout as NodeJS.ReadableStream }).on('line', (line) => lines.push(line));
  });
  afterEach(() => {
    daemon.kill('SIGKILL');
  });

  it('serves what it is sent, logs JSON, and ends with its git processes', async () => {
    const port = await freePort();
    daemon.send({ config: { listen: { host: '127.0.0.1', port }, repos: [site.repo()] } });
    expect(await once(daemon, 'message')).toEqual(['ready', undefined]);
    const url = `http://127.0.0.1:${port}/project.git`;
    expect(await site.agent('clone', '--quiet', url, 'new')).toMatchObject({ code: 0 });
    await vi.waitFor(() =>
      expect(lines.map((line) => JSON.parse(line))).toEqual([
        { event: 'refresh', repo: 'project', status: 'ok' },
        { event: 'fetch', repo: 'project', status: 'ok' },
      ]),
    );
    const { arrived, release } = site.upstream.hold('info/refs');
    const fetching = site.agent('-C', 'new', 'fetch');
    await arrived;
    daemon.kill('SIGTERM');
    expect(await once(daemon, 'exit')).toEqual([0, null]);
    expect(await fetching).toMatchObject({ code: 128 });
    if (existsSync('/proc/self/cmdline')) {
      await vi.waitFor(() => expect(processes('cmdline').join('\n')).not.toContain('/daemon/repositories/'));
    }
    release();
  });
});
