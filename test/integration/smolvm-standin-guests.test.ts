/** What the stand-in's guests are held to: what the real smolvm's do, as measured, or else as read in its source. */
import { createWriteStream, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { NetworkFacts } from '../../src/core/step-io.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { end } from '../fixtures/smolvm/process.ts';
import { type DockerSite, dockerSite } from '../support/docker-site.ts';
import { type SmolvmSite, smolvmSite, standIn, standInTrouble } from '../support/smolvm.ts';

const trouble = standInTrouble();
if (trouble !== undefined) console.warn(`no guest of the stand-in is tried: ${trouble}`);

const FOREVER = ['--', 'sh', '-c', 'echo begun; trap "echo told; exit" TERM; while :; do sleep 0.1; done'];

const SEEDING = { env: { SMOLVM_IMAGE_SEEDS: '1' } };

describe.skipIf(trouble !== undefined)("the stand-in's guests", () => {
  let docker: DockerSite;
  let site: SmolvmSite;
  let archive: string;
  let network: NetworkFacts;
  let state: string;

  beforeAll(async () => {
    docker = await dockerSite();
    site = smolvmSite();
    archive = path.join(site.directory, 'image.tar');
    state = path.join(site.directory, 'state');
    await pipeline(await docker.docker.getImage(docker.images.base).get(), createWriteStream(archive));
    network = await ensureNetwork(docker, docker.bottle(), { pool: docker.pool, hostOnBridge: true });
    await peer(network.bundleIp, 'bundle');
    await peer(network.machineIp, 'neighbour');
  });
  afterEach(() => {
    if (existsSync(state)) site.wish(state, '');
  });
  afterAll(async () => {
    await site?.dispose();
    await docker?.dispose();
  });

  const run = (words: readonly string[], options: { input?: string; env?: Record<string, string> } = {}) =>
    execa(standIn, ['--error-format', 'json', '--state-dir', state, ...words], {
      reject: false,
      ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
      env: { NO_COLOR: '1', RUST_LOG: 'off', SMOLVM_IMAGE_SEEDS: '0', ...options.env },
    });
  const machine = (verb: string, name: string, ...words: string[]) => run(['machine', verb, '--name', name, ...words]);
  const guest = (name: string, script: string, ...words: string[]) =>
    machine('exec', name, ...words, '--', 'sh', '-c', script);
  const stateOf = async (name: string): Promise<string> =>
    (JSON.parse((await machine('status', name, '--json')).stdout) as { state: string }).state;
  const boots = () => site.processes().filter(({ argv }) => argv[1] === '_boot-vm');
  const small = ['--cpus', '1', '--mem', '256'];
  const allowing = (ip: string): string[] => ['--allow-cidr', `${ip}/32`, '--allow-host', ip];

  async function booted(name: string, ...words: string[]): Promise<string> {
    await machine('create', name, '--image', archive, ...small, ...words, ...(words.includes('--') ? [] : FOREVER));
    expect(await machine('start', name)).toMatchObject({ exitCode: 0 });
    return name;
  }

  /** Answers a word at port 80 of that address. */
  async function peer(ip: string, word: string): Promise<void> {
    const answer = `require('http').createServer((_, answer) => answer.end('${word}')).listen(80)`;
    await docker.stranger({
      Cmd: ['node', '-e', answer],
      User: 'root',
      HostConfig: { NetworkMode: network.name },
      NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: ip } } } as never },
    });
  }

  /** Runs until it is killed, or ends. */
  const halfway = (words: readonly string[]) =>
    execa(standIn, ['--state-dir', state, ...words], {
      reject: false,
      stdin: 'ignore',
      env: { SMOLVM_IMAGE_SEEDS: '0' },
    });

  test('live, rest, keep what was written but for /tmp, and go without a trace', async () => {
    const name = await booted('life', '-e', 'A=a b');
    expect(await stateOf(name)).toBe('running');
    const { stdout: folder } = await machine('data-dir', name);
    const [boot] = boots();
    expect(boot?.argv).toEqual(['/proc/self/exe', '_boot-vm', path.join(folder, 'boot-config.json')]);
    expect(await machine('start', name)).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('already running'),
    });
    await guest(name, 'echo "$A" > /kept; touch /tmp/gone');
    expect(await machine('stop', name, '-t', '5')).toMatchObject({ exitCode: 0 });
    expect([await stateOf(name), boots()]).toEqual(['stopped', []]);
    expect((await machine('logs', name)).stdout).toBe('begun\ntold');
    await machine('start', name);
    expect((await guest(name, 'cat /kept; ls /tmp')).stdout).toBe('a b');
    expect(await machine('delete', name, '-f')).toMatchObject({ exitCode: 0 });
    expect([existsSync(folder), boots(), await site.containers()]).toEqual([false, [], []]);
  });

  describe('a network', () => {
    const knock = (ip: string): string => `curl -sS -m 3 http://${ip} 2>&1 | tail -1; echo`;
    const closed = expect.stringMatching(/timed out|Couldn't connect|Failed to connect/);

    test('lets through to the allowed address alone, without names', async () => {
      const name = await booted('net', ...allowing(network.bundleIp));
      expect((await guest(name, knock(network.bundleIp))).stdout).toBe('bundle');
      for (const ip of [network.machineIp, network.gateway, '1.1.1.1']) {
        expect((await guest(name, knock(ip))).stdout, ip).toEqual(closed);
      }
      const names =
        "for name in $(hostname) example.com; do getent ahosts $name | grep -v '^127'; done; cat /proc/net/if_inet6";
      expect((await guest(name, names)).stdout.replaceAll(/^10\..*$/gm, '').trim()).toBe('');
      const raw =
        'const s = require("dgram").createSocket("udp4"); s.send("x", 53, "127.0.0.11", (e) => { console.log(e?.code ?? "sent"); s.close(); });';
      expect((await machine('exec', name, '--', 'node', '-e', raw)).stdout).not.toBe('sent');
      await machine('delete', name, '-f');
    });

    test('resolves names where none is allowed by name, as the real one does', async () => {
      const name = await booted('dns', '--allow-cidr', `${network.bundleIp}/32`);
      const raw =
        'require("dns").setServers(["127.0.0.11"]); require("dns").resolve4("anything.invalid", (e) => console.log(e?.code));';
      expect((await machine('exec', name, '--', 'node', '-e', raw)).stdout).not.toBe('ECONNREFUSED');
      await machine('delete', name, '-f');
    });

    test('that the host has no address on is out of reach, and without one there is none', async () => {
      const hidden = await docker.network(docker.bottle());
      const name = await booted('hidden', ...allowing(hidden.bundleIp));
      expect((await guest(name, 'ip -o -4 addr')).stdout).not.toContain(hidden.subnet.replace(/\.\d+\/.*/, '.'));
      await machine('delete', name, '-f');
      const alone = await booted('alone');
      expect((await guest(alone, 'ls /sys/class/net')).stdout).toBe('lo');
      await machine('delete', alone, '-f');
    });
  });

  describe('a command', () => {
    let name: string;
    beforeAll(async () => {
      name = await booted('exec', '-e', 'A=machine', '-w', '/var');
    });
    afterAll(() => machine('delete', name, '-f'));

    test('has environment, user and folder, and its exit code', async () => {
      const { stdout, exitCode } = await guest(name, 'id -un; pwd; echo $A $B; exit 7', '-e', 'B=own');
      expect([stdout, exitCode]).toEqual(['root\n/var\nmachine own', 7]);
      expect((await guest(name, 'id -un; pwd; echo $A', '-u', 'nobody', '-w', '/', '-e', 'A=own')).stdout).toBe(
        'nobody\n/\nown',
      );
      expect(await guest(name, 'kill -KILL $$')).toMatchObject({ exitCode: 137 });
    });

    test('that cannot be run ends with 1, as what smolvm itself fails with', async () => {
      for (const argv of [['no-such-program'], ['/etc/passwd']]) {
        expect(await machine('exec', name, '--', ...argv)).toMatchObject({ exitCode: 1, stdout: '' });
      }
      const { exitCode, stderr } = await guest(name, 'true', '-u', 'nobody-known');
      expect([exitCode, JSON.parse(stderr)]).toMatchObject([1, { error: { code: 'SMOLVM_ERROR' } }]);
    });

    test('gets input with -i only, and no more output is held back than fits', async () => {
      const cat = ['machine', 'exec', '--name', name];
      expect((await run([...cat, '--', 'cat'], { input: 'in' })).stdout).toBe('');
      expect((await run([...cat, '-i', '--', 'cat'], { input: 'in' })).stdout).toBe('in');
      expect((await guest(name, 'head -c 11000000 /dev/zero')).stdout.length).toBe(11_000_000);
      expect(await guest(name, 'head -c 12000000 /dev/zero')).toMatchObject({ exitCode: 1, stdout: '' });
      expect((await guest(name, 'head -c 12000000 /dev/zero', '-i')).stdout.length).toBe(12_000_000);
    });

    test('with -t has a terminal of 80 by 24 where ours is none', async () => {
      expect((await guest(name, 'test -t 0 && stty size; echo x >&2', '-t')).stdout).toBe('24 80\r\nx');
      const typed = await run(['machine', 'exec', '--name', name, '-it', '--', 'cat'], { input: 'no newline' });
      expect([typed.exitCode, typed.stdout]).toEqual([0, 'no newlineno newline']);
    });

    test('takes no longer than it may, nor than it runs itself', async () => {
      const late = await guest(name, 'echo so far; exec sleep 60', '--timeout', '500ms');
      expect([late.exitCode, late.stdout, late.stderr]).toEqual([124, 'so far', '\ncommand timed out after 500ms']);
      expect((await guest(name, 'sleep 900 & echo done', '-i')).stdout).toBe('done');
    });

    test('ends when nobody waits for it any more; what it started goes on', async () => {
      const left = 'for p in /proc/[0-9]*/cmdline; do tr "\\0" " " <$p; echo; done | grep "^sleep 7" | sort';
      const call = halfway(['machine', 'exec', '--name', name, '-i', '--', 'sh', '-c', 'sleep 701 & exec sleep 702']);
      await expect.poll(async () => (await guest(name, left)).stdout).toBe('sleep 701 \nsleep 702 ');
      call.kill('SIGKILL');
      await expect.poll(async () => (await guest(name, left)).stdout).toBe('sleep 701 ');
    });

    test('can be left alone, and is told by its number in the guest', async () => {
      const { stdout } = await machine('exec', name, '-d', '--', 'sleep', '801');
      expect((await guest(name, `tr "\\0" " " </proc/${stdout}/cmdline`)).stdout).toBe('sleep 801 ');
    });

    test('and files go in and out', async () => {
      const [there, back] = [path.join(site.directory, 'there'), path.join(site.directory, 'back')];
      writeFileSync(there, 'content');
      const cp = (...words: string[]) => run(['machine', 'cp', ...words]);
      expect(await cp('--mode', '0600', '--uid', '65534', there, `${name}:/deep/er/file`)).toMatchObject({
        exitCode: 0,
      });
      expect((await guest(name, 'stat -c "%a %U %s" /deep/er/file; ls /deep/er')).stdout).toBe('600 nobody 7\nfile');
      expect(await cp(`${name}:/deep/er/file`, back)).toMatchObject({ exitCode: 0 });
      expect(readFileSync(back, 'utf8')).toBe('content');
      expect(await cp(`${name}:/deep`, back)).toMatchObject({ exitCode: 1 });
      expect(existsSync(back)).toBe(false);
      expect(await cp(site.directory, `${name}:/x`)).toMatchObject({ exitCode: 1 });
    });
  });

  describe('killed', () => {
    test('-9, what runs a machine takes it along, and it starts again as it was', async () => {
      const name = await booted('crash');
      await guest(name, 'echo kept > /kept');
      for (const { pid } of boots()) process.kill(pid, 'SIGKILL');
      expect(await stateOf(name)).toBe('stopped');
      expect(await guest(name, 'true')).toMatchObject({ exitCode: 1 });
      await machine('start', name);
      expect((await guest(name, 'cat /kept')).stdout).toBe('kept');
      await machine('delete', name, '-f');
    });

    test('stopped as a process, a machine is unreachable, and stop ends it', async () => {
      const name = await booted('hung');
      for (const { pid } of boots()) process.kill(pid, 'SIGSTOP');
      expect(await stateOf(name)).toBe('unreachable');
      expect(await machine('stop', name)).toMatchObject({ exitCode: 0, stdout: `Stopped machine: ${name}` });
      expect([await stateOf(name), boots()]).toEqual(['stopped', []]);
      await machine('delete', name, '-f');
    });

    test.each([
      ['stop', 'Killing orphaned _boot-vm process'],
      ['start', 'Killing orphaned _boot-vm process'],
    ])('half-way, a start goes on by itself, until a %s ends that', async (verb, said) => {
      const name = await booting(`orphan-${verb}`);
      expect(await stateOf(name)).toBe('created');
      site.wish(state, '');
      const [orphan] = boots();
      const { exitCode, stderr } = await machine(verb, name);
      expect([exitCode, stderr]).toEqual([0, expect.stringContaining(`${said} (PID ${orphan?.pid})`)]);
      expect(boots().some(({ pid }) => pid === orphan?.pid)).toBe(false);
      await machine('stop', name);
      await machine('delete', name, '-f');
      expect(await site.containers()).toEqual([]);
    });

    test('half-way, a start goes on for good after a delete that no stop went before', async () => {
      const name = await booting('forgotten');
      // Until it has its container it works in its folder, which the delete takes away.
      await expect.poll(() => site.containers()).toHaveLength(1);
      expect(await machine('delete', name, '-f')).toMatchObject({ exitCode: 0 });
      expect(await machine('stop', name)).toMatchObject({ exitCode: 1 });
      await sleep(3000);
      expect(boots()).toHaveLength(1);
      await Promise.all(boots().map(({ pid }) => end(pid, 0)));
    });

    /** A start that was killed while it waited. */
    async function booting(name: string): Promise<string> {
      await machine('create', name, '--image', archive, ...small, ...FOREVER);
      site.wish(state, 'start:slow=1500');
      const start = halfway(['machine', 'start', '--name', name]);
      await expect.poll(boots).toHaveLength(1);
      start.kill('SIGKILL');
      await start;
      return name;
    }
  });

  test('of two starts at once, neither boots anything', async () => {
    const name = 'twice';
    await machine('create', name, '--image', archive, ...small, ...FOREVER);
    site.wish(state, 'start:slow=1500');
    const first = machine('start', name);
    await expect.poll(boots).toHaveLength(1);
    const [one, two] = await Promise.all([first, machine('start', name)]);
    expect([one.exitCode, two.exitCode]).toEqual([1, 1]);
    expect(one.stderr).toContain('boot process was killed by SIGTERM');
    expect(two.stderr).toContain('another process is already starting or running this VM');
    expect([await stateOf(name), boots()]).toEqual(['created', []]);
    await machine('delete', name, '-f');
  });

  test('fail on purpose: at once, while booting, and never answering', async () => {
    const name = 'wished';
    await machine('create', name, '--image', archive, ...small, ...FOREVER);
    const start = async (wish: string, env: Record<string, string> = {}) => {
      site.wish(state, wish);
      const { exitCode, stderr } = await run(['machine', 'start', '--name', name], { env });
      return [exitCode, stderr.split('\n').at(-1)];
    };
    expect(await start('start:error')).toEqual([1, expect.stringContaining('failed on purpose')]);
    expect(await start('start:exit')).toEqual([1, expect.stringContaining('boot process exited (code 1)')]);
    const briefly = await start('start:silent', { SMOLVM_STANDIN_READY_SECONDS: '3' });
    expect(briefly).toEqual([1, expect.stringContaining('did not become ready within 3 seconds')]);
    expect([await stateOf(name), boots()]).toEqual(['created', []]);
    expect((await start('stop:error'))[0]).toBe(0);
    expect(await machine('stop', name)).toMatchObject({ exitCode: 1 });
    site.wish(state, '');
    await machine('delete', name, '-f');
  });

  test('a first start from an archive boots a hidden machine before, unless it is told not to', async () => {
    const name = 'seeded';
    await machine('create', name, '--image', archive, ...small, ...FOREVER);
    const names = async () => (await run(['machine', 'ls', '-q'])).stdout.split('\n').sort();
    // One that cannot be removed stays to be seen, however quickly it came and went.
    site.wish(state, 'delete:error');
    expect(await run(['machine', 'start', '--name', name], SEEDING)).toMatchObject({ exitCode: 0 });
    const [seed] = await names();
    expect(await names()).toEqual([expect.stringMatching(/^image-seed-[0-9a-f]{16}-\d+$/), name]);
    site.wish(state, '');
    await machine('delete', String(seed), '-f');
    await machine('stop', name, '-t', '1');
    rmSync(path.join(state, '.cache/smolvm/image-seeds'), { recursive: true });
    expect(await run(['machine', 'start', '--name', name], SEEDING)).toMatchObject({ exitCode: 0 });
    expect([await names(), existsSync(path.join(state, '.cache/smolvm/image-seeds'))]).toEqual([[name], true]);
    await machine('delete', name, '-f');
  });

  test('come from a pack too', async () => {
    const pack = path.join(site.directory, 'pack');
    expect(await run(['pack', 'create', '--image', archive, '--mem', '256', '-o', pack])).toMatchObject({
      exitCode: 0,
    });
    expect(readdirSync(site.directory)).toEqual(expect.arrayContaining(['pack', 'pack.smolmachine']));
    await machine('create', 'packed', '--from', `${pack}.smolmachine`, '--cpus', '1', ...FOREVER);
    const { stdout } = await machine('status', 'packed', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ image: null, memory_mib: 256, cpus: 1 });
    await machine('start', 'packed');
    expect((await guest('packed', 'echo here')).stdout).toBe('here');
    await machine('delete', 'packed', '-f');
  });

  test("find a socket of the host's, whenever that is there", async () => {
    const socket = path.join(site.directory, 'host.sock');
    const name = await booted('sockets', '--mount-socket', `${socket}:/run/there.sock`);
    const ask = 'curl -s --unix-socket /run/there.sock http://host/ 2>&1; echo $?';
    expect((await guest(name, ask)).stdout).not.toContain('answer');
    const server = createServer((_, answer) => answer.end('answer\n')).listen(socket);
    expect((await guest(name, ask)).stdout).toBe('answer\n0');
    server.close();
    await machine('delete', name, '-f');
  });

  test('of an archive that is none do not boot, and say why', async () => {
    const junk = path.join(site.directory, 'junk.tar');
    writeFileSync(junk, 'junk');
    await machine('create', 'junk', '--image', junk);
    const { exitCode, stderr } = await machine('start', 'junk');
    expect([exitCode, JSON.parse(stderr.split('\n').at(-1) ?? '')]).toMatchObject([
      1,
      { error: { code: 'SMOLVM_ERROR' } },
    ]);
    await machine('delete', 'junk', '-f');
  });
});
