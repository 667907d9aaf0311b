/** Which Engine, whose files and environment, under what name: what happens where client and worker would differ. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { uniqueId } from '../support/installation.ts';
import { called, cannotUnshare, socketAt } from '../support/namespaces.ts';
import { type CommandLine, commandLine } from './command.ts';

const QUIET = '---\nbottle: quiet\n---\n';
const withToken = (name: string): string =>
  `---\negress:\n  routes:\n    - {host: api.test, auth: {scheme: Bearer, token_ref: ${name}}}\n---\n`;

function writeAgents(it: CommandLine, agent: string): void {
  it.write('bottles/quiet.md', '---\nallow: [example.com]\n---\n');
  it.write(`agents/${agent}.md`, QUIET);
  for (const name of ['one', 'two']) {
    it.write(`bottles/${name}.md`, withToken(`TOKEN_${name.toUpperCase()}`));
    it.write(`agents/${agent}-${name}.md`, `---\nbottle: ${name}\n---\n`);
  }
}

interface Status {
  phase: string;
  host: string;
  steps: { id: string; state: string; attempts: number; error?: object }[];
}

const workerRecord = (it: CommandLine): { pid: number; environment: Record<string, string> } =>
  JSON.parse(readFileSync(path.join(it.state, 'run/worker.json'), 'utf8'));

/** Each is a story of several commands, each of which takes its time on a computer that is busy. */
const timeout = 240_000;

describe('an Engine, files and environment', { timeout }, () => {
  let it: CommandLine;
  const agent = uniqueId('place');
  const absent = (): string => `unix://${it.directory}/absent.sock`;
  beforeAll(async () => {
    it = await commandLine(uniqueId('host'));
    writeAgents(it, agent);
  });
  afterAll(() => it?.dispose());

  test('an Engine that is not there holds prepare with its place, and is retried with another once nothing hangs on it', async () => {
    const up = await it.bottle(['up', agent, '--json'], { env: { DOCKER_HOST: absent() } });
    expect(up.code, up.stderr).toBe(3);
    const { steps } = JSON.parse(up.stdout) as Status;
    expect(steps.find(({ id }) => id === 'prepare')).toMatchObject({
      state: 'held',
      attempts: 3,
      error: {
        code: 'DOCKER_UNREACHABLE',
        message: `the Docker Engine at ${absent()} (DOCKER_HOST) does not answer (ENOENT)`,
        hint: 'start Docker, or unset DOCKER_HOST; then retry',
      },
    });
    const retry = await it.bottle(['retry', agent], { env: { DOCKER_HOST: '' } });
    expect(retry, retry.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/ is ready/) });
    expect(retry.stderr).toMatch(
      /^restarted the worker of \S+ \(process \d+\): it had the Docker Engine at \S+absent/m,
    );
  });

  test('a worker with another Engine or other files is not used in silence while bottles hang on them', async () => {
    const refused = await it.bottle(['up', agent, '--name', `${agent}-x`], { env: { DOCKER_HOST: absent() } });
    expect(refused.code, refused.stderr).toBe(5);
    expect(refused.stderr).toMatch(
      new RegExp(
        `^error\\[WORKER_DIFFERS\\]: this host's worker \\(process \\d+\\) works with the Docker Engine at unix://\\S+docker.sock, not ${absent()} \\(DOCKER_HOST\\); ${agent} depends on that\nhint: .*export DOCKER_HOST=unix://\\S+docker.sock; .*bottle serve --restart`,
        'm',
      ),
    );
    const other = path.join(it.directory, 'other-home');
    await mkdir(path.join(other, 'agents'), { recursive: true });
    await writeFile(path.join(other, 'agents', `${agent}.md`), '');
    for (const args of [
      ['up', agent],
      ['apply', agent],
      ['reload', agent],
    ]) {
      const files = await it.bottle(args, { env: { BOTTLE_HOME: other } });
      expect(files.code, files.stderr).toBe(5);
      expect(files.stderr).toContain(`works with BOTTLE_HOME ${it.home}, not ${other}; ${agent} depends on that\n`);
    }
    const doctor = await it.bottle(['doctor', '--json'], { env: { BOTTLE_HOME: other } });
    expect(JSON.parse(doctor.stdout).checks).toContainEqual({
      name: 'worker',
      state: 'warn',
      found: expect.stringContaining(`it works with BOTTLE_HOME ${it.home}, not ${other}`),
      hint: 'bottle serve --restart has it work with what is here',
    });
    const serve = await it.bottle(['serve', '--detach'], { env: { BOTTLE_HOME: other } });
    expect(serve).toMatchObject({ code: 0, stderr: expect.stringContaining('the worker that runs is not as you are') });
  });

  test('exec goes to the Engine that the machine is on, whatever this shell would choose', async () => {
    const env = { DOCKER_HOST: absent() };
    expect(await it.bottle(['exec', agent, '--', 'echo', 'here'], { env })).toMatchObject({
      code: 0,
      stdout: 'here\n',
    });
  });

  test('a variable that the worker has not, or has otherwise, is taken over with a word', async () => {
    const id = `${agent}-one`;
    const without = await it.bottle(['up', id]);
    expect(without, without.stderr).toMatchObject({ code: 3, stderr: expect.stringContaining('SECRET_MISSING') });
    const retry = await it.bottle(['retry', id], { env: { TOKEN_ONE: 'hush-hush-1' } });
    expect(retry.code, retry.stderr).toBe(0);
    expect(retry.stderr).toMatch(/^restarted the worker of \S+ \(process \d+\): it had no TOKEN_ONE$/m);
    const reload = await it.bottle(['reload', id], { env: { TOKEN_ONE: 'hush-hush-2' } });
    expect(reload.code, reload.stderr).toBe(0);
    expect(reload.stderr).toMatch(/^restarted the worker of .*: it had another TOKEN_ONE$/m);
    const same = workerRecord(it).pid;
    for (const env of [{ TOKEN_ONE: 'hush-hush-2' }, {}])
      expect((await it.bottle(['reload', id], { env })).code).toBe(0);
    expect(workerRecord(it).pid).toBe(same);
  });

  test('no value of a variable is kept, and the key of their digests is for the owner alone', () => {
    const record = readFileSync(path.join(it.state, 'run/worker.json'), 'utf8');
    expect(record).not.toContain('hush');
    expect(Object.keys(workerRecord(it).environment)).toContain('TOKEN_ONE');
    for (const plain of ['sha1', 'sha256'].map((name) => createHash(name).update('hush-hush-2').digest('base64url')))
      expect(record).not.toContain(plain.slice(0, 22));
    expect(statSync(path.join(it.state, 'run/environment.key')).mode & 0o777).toBe(0o600);
  });

  test('a restart that would take a variable from a bottle is refused; serve --restart does it', async () => {
    const id = `${agent}-two`;
    const env = { TOKEN_TWO: 'hush-hush-3' };
    const up = await it.bottle(['up', id, '--name', id], { env });
    expect(up.code, up.stderr).toBe(5);
    expect(up.stderr).toMatch(
      /works with no TOKEN_TWO; a restart would take TOKEN_ONE from it, which .* may need\nhint: export TOKEN_ONE here too/,
    );
    const serve = await it.bottle(['serve', '--restart', '--json'], { env });
    expect(serve.code, serve.stderr).toBe(0);
    expect(JSON.parse(serve.stdout)).toMatchObject({
      server: { alreadyRunning: true },
      worker: { alreadyRunning: false },
    });
    expect(await it.bottle(['up', id, '--name', id], { env })).toMatchObject({ code: 0 });
  });

  test('two launches at once take one restart over', async () => {
    const env = { TOKEN_ONE: 'hush-hush-4', TOKEN_TWO: 'hush-hush-4' };
    const names = ['one', 'two'].map((name) => [`${agent}-${name}`, `${agent}-${name}-again`] as const);
    const ups = await Promise.all(names.map(([of, id]) => it.bottle(['up', of, '--name', id], { env })));
    for (const up of ups) expect(up.code, up.stderr).toBe(0);
    expect(ups.filter(({ stderr }) => stderr.includes('restarted the worker'))).toHaveLength(1);
  });

  test('up says what to do where nobody serves: with another server, and on another host', async () => {
    const lonely = { TEMPORAL_ADDRESS: `127.0.0.1:${it.port}`, BOTTLE_STATE: path.join(it.directory, 'lonely') };
    const up = await it.bottle(['up', agent, '--name', `${agent}-l`], { env: { ...lonely, BOTTLE_HOST: 'lonely' } });
    expect(up, up.stderr).toMatchObject({
      code: 5,
      stderr: 'error[WORKER_UNREACHABLE]: no worker serves lonely\nhint: start it: bottle serve --detach\n',
    });
    expect(await it.json(['up', agent, '--host', 'lonely'])).toMatchObject({
      code: 5,
      document: { error: { code: 'WORKER_UNREACHABLE', hint: 'on that host: bottle serve --detach' } },
    });
  });

  test('a context that names nothing is refused before anything begins', async () => {
    const env = { DOCKER_CONTEXT: 'gone' };
    for (const args of [
      ['up', agent, '--name', `${agent}-y`],
      ['retry', agent],
      ['image', 'ls'],
    ])
      expect(await it.json(args, { env })).toMatchObject({
        code: 2,
        document: { error: { code: 'DOCKER_CONTEXT_INVALID', hint: expect.stringMatching(/unset DOCKER_CONTEXT/) } },
      });
    expect(await it.json(['ls'], { env })).toMatchObject({ code: 0 });
  });

  test('a worker that stands still is waited for, but not in silence', async () => {
    const { pid } = workerRecord(it);
    process.kill(pid, 'SIGSTOP');
    const says = /^the host's worker has not answered yet; waiting for it \(if none runs there: bottle serve --detach/m;
    try {
      for (const args of [
        ['status', agent],
        ['up', agent, '--name', `${agent}-z`],
      ]) {
        process.kill(pid, 'SIGSTOP');
        const { code, stderr } = await it.bottle(args, { reactions: [[says, () => process.kill(pid, 'SIGCONT')]] });
        expect(stderr).toMatch(says);
        expect(code, stderr).toBe(0);
      }
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });

  test('down takes all of them down', async () => {
    const down = await it.bottle(['down', '--all']);
    expect(down.code, down.stderr).toBe(0);
  });
});

test('an Engine behind ssh is used for all of a launch', { timeout }, async () => {
  const it = await commandLine(uniqueId('host'));
  try {
    const agent = uniqueId('ssh');
    writeAgents(it, agent);
    const bin = path.join(it.directory, 'bin');
    await mkdir(bin);
    // What sshd and `docker system dial-stdio` come to.
    const relay = "const s=require('net').connect('/var/run/docker.sock');process.stdin.pipe(s);s.pipe(process.stdout)";
    await writeFile(path.join(bin, 'ssh'), `#!/bin/sh\nexec '${process.execPath}' -e "${relay}"\n`, { mode: 0o755 });
    const env = { DOCKER_HOST: 'ssh://me@there', PATH: `${bin}:${process.env['PATH']}` };
    const up = await it.bottle(['up', agent], { env });
    expect(up.code, up.stderr).toBe(0);
    const cat = await it.bottle(['exec', agent, '-i', '--', 'cat'], { env, input: 'there and back' });
    expect(cat, cat.stderr).toMatchObject({ code: 0, stdout: 'there and back' });
    const down = await it.bottle(['down', agent], { env });
    expect(down.code, down.stderr).toBe(0);
  } finally {
    await it.dispose();
  }
});

test('the current context leads to its Engine where there is no default socket', { timeout }, async (context) => {
  const reason = cannotUnshare('--mount');
  if (reason !== undefined) return context.skip(reason);
  const it = await commandLine(uniqueId('host'));
  try {
    const agent = uniqueId('context');
    writeAgents(it, agent);
    const socket = path.join(it.directory, 'engine.sock');
    const within = socketAt(socket);
    const meta = path.join(it.directory, '.docker/contexts/meta', createHash('sha256').update('other').digest('hex'));
    await mkdir(meta, { recursive: true });
    await writeFile(
      path.join(meta, 'meta.json'),
      JSON.stringify({ Name: 'other', Metadata: {}, Endpoints: { docker: { Host: `unix://${socket}` } } }),
    );
    const engineOf = async (): Promise<object> => {
      const { stdout } = await it.bottle(['doctor', '--json'], { within });
      return JSON.parse(stdout).checks.find(({ name }: { name: string }) => name === 'Docker Engine');
    };
    expect(await engineOf()).toMatchObject({
      state: 'fail',
      found: 'the Docker Engine at unix:///var/run/docker.sock does not answer (ENOENT)',
      hint: 'start Docker, or: docker context use other; then retry',
    });
    await writeFile(path.join(it.directory, '.docker/config.json'), '{"currentContext":"other"}');
    expect(await engineOf()).toMatchObject({
      state: 'ok',
      found: expect.stringContaining(`at unix://${socket} (context other)`),
    });
    const up = await it.bottle(['up', agent], { within });
    expect(up.code, up.stderr).toBe(0);
    expect((await it.bottle(['exec', agent, '--', 'true'], { within })).code).toBe(0);
    const down = await it.bottle(['down', agent], { within });
    expect(down.code, down.stderr).toBe(0);
  } finally {
    await it.dispose();
  }
});

describe("the host's name", { timeout }, () => {
  let it: CommandLine;
  const agent = uniqueId('named');
  const own = { BOTTLE_HOST: '' };
  const elsewhere = { env: own, within: called('other-net') };
  beforeAll(async () => {
    it = await commandLine('unused');
    writeAgents(it, agent);
  });
  afterAll(() => it?.dispose());

  test('is the one it had first, whatever it is called later', async (context) => {
    const reason = cannotUnshare('--uts');
    if (reason !== undefined) return context.skip(reason);
    const up = await it.bottle(['up', agent, '--json'], { env: own });
    expect(up.code, up.stderr).toBe(0);
    const { host } = JSON.parse(up.stdout) as Status;
    expect(readFileSync(path.join(it.state, 'host'), 'utf8')).toBe(`${host}\n`);

    const two = await it.bottle(['up', agent, '--name', `${agent}-two`], elsewhere);
    expect(two, two.stderr).toMatchObject({ code: 0, stderr: expect.stringContaining(` on ${host} (`) });
    const serve = await it.bottle(['serve', '--restart'], elsewhere);
    expect(serve, serve.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining(`worker     ${host},`) });
    const hosts = JSON.parse((await it.bottle(['hosts', '--json'], elsewhere)).stdout);
    expect(hosts).toMatchObject([{ host, bottles: 2, worker: true }]);
    const doctor = JSON.parse((await it.bottle(['doctor', '--json'], elsewhere)).stdout);
    expect(doctor.checks).toContainEqual({
      name: 'host',
      state: 'ok',
      found: `${host}; the computer is called other-net now`,
    });
    const down = await it.bottle(['down', agent], elsewhere);
    expect(down.code, down.stderr).toBe(0);
  });

  test('that BOTTLE_HOST would change under bottles is refused, and they are not left out in silence', async (context) => {
    const id = `${agent}-two`;
    if (!existsSync(path.join(it.state, 'bottles', id))) return context.skip('the test before it left no bottle');
    const pinned = readFileSync(path.join(it.state, 'host'), 'utf8').trim();
    const env = { BOTTLE_HOST: 'renamed' };
    const up = await it.bottle(['up', agent, '--name', `${agent}-three`], { env });
    expect(up.code, up.stderr).toBe(5);
    expect(up.stderr).toMatch(
      new RegExp(
        `works with the host name ${pinned}, not renamed; ${id} depends on that\nhint: .*BOTTLE_HOST=${pinned}`,
      ),
    );

    const serve = await it.bottle(['serve', '--restart'], { env });
    expect(serve.stderr).toContain(`note: this host was called ${pinned} so far`);
    const doctor = JSON.parse((await it.bottle(['doctor', '--json'], { env })).stdout);
    expect(doctor.checks).toContainEqual(
      expect.objectContaining({ name: 'host', state: 'warn', hint: expect.stringContaining('unset BOTTLE_HOST') }),
    );
    // One of another name that was launched here counts as here, and is not passed over.
    const refused = await it.bottle(['down', '--all'], { env });
    expect(refused.code, refused.stderr).toBe(5);
    expect(refused.stderr).toContain(`BOTTLE_HOST=${pinned} bottle serve --restart`);

    const serving = await it.bottle(['serve', '--restart'], { env: own });
    expect(serving.code, serving.stderr).toBe(0);
    // The server has kept the wish until a worker of that name was there.
    const open = async (): Promise<unknown> => (await it.json(['ls'], { env: own })).document;
    await expect.poll(open).toEqual([]);
  });

  test('is free again once no bottle hangs on it, and config.yaml may say it', async () => {
    it.write('config.yaml', 'hosts: {name: from-a-file}');
    const serve = await it.bottle(['serve', '--restart'], { env: own });
    expect(serve, serve.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('worker     from-a-file,') });
    expect(readFileSync(path.join(it.state, 'host'), 'utf8')).toBe('from-a-file\n');
  });
});
