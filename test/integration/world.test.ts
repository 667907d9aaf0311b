/**
 * The contract of the world that other tests stand on: seen from a plain container on its network, with no bundle
 * between, by the programs that will meet it (Claude Code, git, curl).
 */
import { PassThrough } from 'node:stream';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker } from '../../src/host/docker.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { ensureImages } from '../../src/host/images.ts';
import { runIn } from '../support/run-in-container.ts';
import { type Recorded, startWorld, WORLD_LABEL, type World } from '../support/world.ts';

const docker = connectDocker();
let guest: string;
let world: World;
let client: Dockerode.Container;

beforeAll(async () => {
  await ensureImages(docker, { report: (line) => console.error(line), kinds: ['guest'] });
  guest = await imageTag('guest');
  world = await startWorld({ docker, image: guest });
  client = await createClient();
  await client.putArchive(clientFiles(), { path: '/' });
  await client.start();
});
afterAll(async () => {
  await client?.remove({ force: true });
  await world?.dispose();
});

const WORKSPACE = '/home/agent/workspace';
const CA = '/tmp/ca.pem';
const MCP_SERVER = '/tmp/greeter.mjs';

/** Trusts the world's CA, and holds its secrets where the programs look for them. */
function createClient(): Promise<Dockerode.Container> {
  const trust = [`CURL_CA_BUNDLE=${CA}`, `GIT_SSL_CAINFO=${CA}`, `NODE_EXTRA_CA_CERTS=${CA}`];
  const helper = '!f() { echo username=anyone; echo "password=$GIT_TOKEN"; }; f';
  const git = ['GIT_TERMINAL_PROMPT=0', `GIT_TOKEN=${world.gitToken}`, 'GIT_CONFIG_COUNT=1'];
  const credential = ['GIT_CONFIG_KEY_0=credential.helper', `GIT_CONFIG_VALUE_0=${helper}`];
  const person = ['AUTHOR', 'COMMITTER'].flatMap((who) => [
    `GIT_${who}_NAME=Agent`,
    `GIT_${who}_EMAIL=agent@bottle.test`,
  ]);
  const model = ['ANTHROPIC_BASE_URL=https://model.test', `ANTHROPIC_API_KEY=${world.modelKey}`];
  const claude = ['CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1', 'DISABLE_AUTOUPDATER=1', 'IS_SANDBOX=1'];
  return docker.createContainer({
    Image: guest,
    Labels: { [WORLD_LABEL]: 'client' },
    Env: [...trust, ...git, ...credential, ...person, ...model, ...claude],
    HostConfig: { NetworkMode: world.network.name },
  });
}

function clientFiles(): NodeJS.ReadableStream {
  const files = pack();
  files.entry({ name: CA, mode: 0o644 }, world.ca.cert);
  files.entry({ name: MCP_SERVER, mode: 0o644 }, GREETER);
  files.entry({ name: '/home/agent/.claude.json', mode: 0o600, uid: 1000, gid: 1000 }, interactiveSettings());
  files.finalize();
  return files as unknown as NodeJS.ReadableStream;
}

/** What Claude Code asks a person at its first start, answered. */
const interactiveSettings = (): string =>
  JSON.stringify({
    hasCompletedOnboarding: true,
    theme: 'dark',
    bypassPermissionsModeAccepted: true,
    customApiKeyResponses: { approved: [world.modelKey.slice(-20)], rejected: [] },
    projects: { [WORKSPACE]: { hasTrustDialogAccepted: true } },
  });

/** The smallest MCP server: JSON-RPC by lines, one tool. */
const GREETER = `
import { createInterface } from 'node:readline';
const tool = { name: 'greet', description: 'Greets', inputSchema: { type: 'object', properties: { whom: { type: 'string' } } } };
const answers = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'greeter', version: '1' } }),
  'tools/list': () => ({ tools: [tool] }),
  'tools/call': ({ arguments: { whom } }) => ({ content: [{ type: 'text', text: 'good day, ' + whom }] }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue;
  const answer = answers[method];
  const outcome = answer ? { result: answer(params) } : { error: { code: -32601, message: 'no ' + method } };
  console.log(JSON.stringify({ jsonrpc: '2.0', id, ...outcome }));
}`;

const run = (...argv: string[]) => runIn({ docker }, client.id, argv, 'agent');
const sh = (script: string) => run('sh', '-c', script);
const getJson = async (...args: string[]) => JSON.parse((await run('curl', '-sS', ...args)).stdout);
/** What happened in the world while `act` did. */
async function requestsOf(act: () => Promise<unknown>): Promise<Recorded[]> {
  const before = (await world.requests()).length;
  await act();
  return (await world.requests()).slice(before);
}

describe('model.test', () => {
  const messages = (body: object, key = '"$ANTHROPIC_API_KEY"') =>
    sh(`curl -sS -w '\\n%{http_code}' -H x-api-key:${key} -d '${JSON.stringify(body)}' https://model.test/v1/messages`);
  const answer = async (...conversation: object[]) => {
    const tools = [{ name: 'Bash' }];
    const { stdout } = await messages({ model: 'm', max_tokens: 9, tools, messages: conversation });
    return JSON.parse(stdout.slice(0, -4));
  };
  const user = (content: unknown) => ({ role: 'user', content });
  const text = (words: string) => ({ type: 'text', text: words });

  test('refuses without the key, in the words of the real one', async () => {
    const { stdout } = await messages({ model: 'm', messages: [user('hi')] }, 'wrong');
    const [document = '', status] = stdout.trim().split(/\n+/);
    expect(status).toBe('401');
    expect(JSON.parse(document)).toMatchObject({ type: 'error', error: { type: 'authentication_error' } });
  });

  test('takes the key as a bearer too, and counts tokens', async () => {
    const { stdout } = await sh(
      'curl -sS -H "Authorization: Bearer $ANTHROPIC_API_KEY" -d "{}" https://model.test/v1/messages/count_tokens',
    );
    expect(JSON.parse(stdout)).toEqual({ input_tokens: 10 });
  });

  test('says that it is there to whoever asks', async () => {
    const { stdout } = await run('curl', '-sSI', 'https://model.test/');
    expect(stdout).toMatch(/^HTTP\/1.1 200/);
  });

  test('streams an answer in pieces', async () => {
    const request = `fetch('https://model.test/v1/messages?beta=true', {
      method: 'POST',
      headers: { 'x-api-key': process.env.ANTHROPIC_API_KEY },
      body: JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'say hi' }] }),
    }).then((response) => Array.fromAsync(response.body.pipeThrough(new TextDecoderStream())))
      .then((chunks) => console.log(JSON.stringify(chunks)))`;
    const chunks = JSON.parse((await run('node', '-e', request)).stdout) as string[];
    expect(chunks.length).toBeGreaterThan(1);
    const events = [...chunks.join('').matchAll(/^event: (.+)\ndata: (.+)\n\n/gm)];
    expect(events.map(([, name]) => name).filter((name, index, all) => name !== all[index - 1])).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    const deltas = events.map(([, , data = '']) => JSON.parse(data).delta?.text ?? '');
    expect(deltas.join('')).toBe('hello from the model: say hi');
    expect(deltas.filter(Boolean).length).toBeGreaterThan(2);
  });

  test('hears what the person said, not what was wrapped around it', async () => {
    const wrapped = '<system-reminder>\nRUN rm everything\n</system-reminder>';
    const { content } = await answer(user([text(wrapped), text('say hi')]), { role: 'system', content: 'RUN it' });
    expect(content).toEqual([text('hello from the model: say hi')]);
  });

  test('does one step a turn, in order, then tells what came of each', async () => {
    const turn = (result: unknown) =>
      user([
        { type: 'tool_result', tool_use_id: 't', content: result },
        text('<system-reminder>RUN x</system-reminder>'),
      ]);
    const begin = user(`please\n${world.script({ run: 'one | two' }, { call: 'mcp__a__b', input: { c: 1 } })}`);
    expect(await answer(begin)).toMatchObject({
      stop_reason: 'tool_use',
      content: [{ type: 'tool_use', name: 'Bash', input: { command: 'one | two' } }],
    });
    expect(await answer(begin, turn('first'))).toMatchObject({
      content: [{ type: 'tool_use', name: 'mcp__a__b', input: { c: 1 } }],
    });
    expect(await answer(begin, turn('first'), turn([text('x'.repeat(600))]))).toMatchObject({
      stop_reason: 'end_turn',
      content: [text(`The command said: first\nThe tool said: ${'x'.repeat(500)}`)],
    });
  });

  test('calls no tool where none is offered', async () => {
    const { stdout } = await messages({ model: 'm', messages: [user('RUN it')] });
    expect(JSON.parse(stdout.slice(0, -4)).content).toEqual([text('hello from the model: RUN it')]);
  });
});

describe('model.test, in OpenAI’s way', () => {
  const said = (text: string) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] });
  const told = (...texts: string[]) => ({
    type: 'custom_tool_call_output',
    output: ['Script completed\nOutput:\n', ...texts].map((text) => ({ type: 'input_text', text })),
  });
  const tools = { type: 'additional_tools', role: 'developer', tools: [{ tools: [{ name: 'exec' }] }] };
  const ask = async (header: string, ...input: object[]) => {
    const body = JSON.stringify({ model: 'm', stream: true, input });
    const url = 'https://model.test/v1/responses';
    return (await run('curl', '-sS', '-w', '\n%{http_code}', '-H', header, '--data-raw', body, url)).stdout;
  };
  /** The item that is no thought. */
  const answer = async (...input: object[]) => {
    const events = (await ask(`Authorization: Bearer ${world.modelKey}`, ...input)).matchAll(
      /^event: (.+)\ndata: (.+)$/gm,
    );
    const all = [...events].map(([, name, data = '']) => ({ name, data: JSON.parse(data) }));
    const done = 'response.output_item.done';
    expect(all.map(({ name }) => name)).toEqual(['response.created', done, done, 'response.completed']);
    expect(all[1]?.data.item).toMatchObject({ type: 'reasoning', encrypted_content: expect.any(String) });
    return all[2]?.data.item;
  };

  test('takes the key as a bearer only', async () => {
    for (const header of ['Authorization: Bearer wrong', `x-api-key: ${world.modelKey}`]) {
      const [document = '', status] = (await ask(header, said('hi'))).trim().split(/\n+/);
      expect(status).toBe('401');
      expect(JSON.parse(document)).toMatchObject({ error: { type: 'authentication_error' } });
    }
  });

  test('hears what the person said, not what Codex says of where it is', async () => {
    const added = [
      said('# AGENTS.md instructions\n\nRUN it'),
      said('<environment_context>\nRUN it\n</environment_context>'),
    ];
    expect(await answer(tools, said('say hi'), ...added)).toMatchObject({
      type: 'message',
      content: [{ type: 'output_text', text: 'hello from the model: say hi' }],
    });
  });

  test('does one step a turn, in order, then tells what came of each', async () => {
    const begin = [tools, said(world.script({ run: 'echo "$HOME"' }, { call: 'mcp__a__b', input: { c: 1 } }))];
    expect(await answer(...begin)).toMatchObject({
      type: 'custom_tool_call',
      name: 'exec',
      input: expect.stringContaining('tools.exec_command({ cmd: "echo \\"$HOME\\"" })'),
    });
    expect(await answer(...begin, told('/home'))).toMatchObject({
      input: expect.stringContaining('tools.mcp__a__b({"c":1})'),
    });
    expect(await answer(...begin, told('/home'), told('one', 'two'))).toMatchObject({
      content: [{ text: 'The command said: /home\nThe tool said: one\ntwo' }],
    });
  });

  test('calls no tool where none is offered', async () => {
    expect(await answer(said('RUN it'))).toMatchObject({ content: [{ text: 'hello from the model: RUN it' }] });
  });
});

describe('Claude Code', () => {
  const claude = (...args: string[]) => run('claude', '--dangerously-skip-permissions', ...args);

  test('gets its answer, and the world remembers what it was asked', async () => {
    let stdout = '';
    const [request, ...more] = await requestsOf(async () => {
      ({ stdout } = await claude('-p', 'say hi', '--append-system-prompt', 'You live in a bottle.'));
    });
    expect(stdout).toBe('hello from the model: say hi\n');
    expect(more).toEqual([]);
    expect(request).toMatchObject({
      host: 'model.test',
      method: 'POST',
      path: '/v1/messages?beta=true',
      status: 200,
      headers: { 'x-api-key': world.modelKey },
      model: { stream: true, lastUserText: 'say hi' },
    });
    expect(request?.model?.system).toContain('You live in a bottle.');
    expect(request?.model?.tools).toContain('Bash');
    expect(Buffer.byteLength(request?.body ?? '')).toBe(request?.bodyBytes);
  });

  test('runs the commands that the model asks for', async () => {
    const { stdout } = await claude('-p', world.script({ run: 'echo "$((40 + 2))" > made' }, { run: 'cat made; pwd' }));
    expect(stdout).toMatch(new RegExp(`^The command said: .*\nThe command said: 42\n${WORKSPACE}\n$`));
    expect((await run('cat', `${WORKSPACE}/made`)).stdout).toBe('42\n');
  });

  test('calls a tool of an MCP server, though it is deferred', async () => {
    const servers = { mcpServers: { greeter: { command: 'node', args: [MCP_SERVER] } } };
    const prompt = world.script({ call: 'mcp__greeter__greet', input: { whom: 'world' } });
    const { stdout } = await claude('-p', prompt, '--strict-mcp-config', '--mcp-config', JSON.stringify(servers));
    expect(stdout).toBe('The tool said: good day, world\n');
  });

  test('works in a terminal', async () => {
    const words = world.script({ run: 'tty; echo done' });
    const told = async () =>
      (await world.requests()).filter(
        ({ model, body }) => model?.lastUserText === words && body.includes('tool_result'),
      );
    const exec = await client.exec({
      Cmd: ['claude', '--dangerously-skip-permissions', words],
      User: 'agent',
      Env: ['TERM=xterm-256color'],
      Tty: true,
      AttachStdin: true,
      AttachStdout: true,
    });
    const terminal = await exec.start({ hijack: true, stdin: true, Tty: true });
    terminal.pipe(new PassThrough().resume()); // as a screen takes what is drawn
    try {
      await expect.poll(told).toHaveLength(1);
    } finally {
      terminal.destroy();
    }
  });
});

describe('git.test', () => {
  const clone = (repository: string, directory: string) =>
    run('git', 'clone', '-q', `https://git.test/${repository}.git`, directory);
  const change = (directory: string, message: string) =>
    sh(`cd ${directory} && echo ${message} > note && git add note && git commit -qm ${message} && git rev-parse HEAD`);

  test('gives a clone of some commits, and takes a push', async () => {
    expect(await clone('team/app', '/tmp/app')).toMatchObject({ exitCode: 0 });
    expect((await run('git', '-C', '/tmp/app', 'log', '--format=%s', 'main')).stdout).toBe(
      'Explain\nSay hello\nBegin\n',
    );
    const { stdout: commit } = await change('/tmp/app', 'mine');
    expect(await run('git', '-C', '/tmp/app', 'push', '-q', 'origin', 'main:feature')).toMatchObject({ exitCode: 0 });
    expect((await world.refs('team/app'))['refs/heads/feature']).toBe(commit.trim());
  });

  test('takes a push that is too big to be sent in one piece', async () => {
    await clone('team/app', '/tmp/big');
    await sh('cd /tmp/big && head -c 3000000 /dev/urandom > big && git add big && git commit -qm big');
    const asked = await requestsOf(() => run('git', '-C', '/tmp/big', 'push', '-q', 'origin', 'main:big'));
    expect(asked.at(-1)).toMatchObject({ status: 200, headers: { 'transfer-encoding': 'chunked' } });
    expect(asked.at(-1)?.bodyBytes).toBeGreaterThan(3_000_000);
    expect(await world.refs('team/app')).toHaveProperty(['refs/heads/big']);
  });

  test('refuses a wrong token, and says how to come back', async () => {
    const { exitCode, stderr } = await sh('GIT_TOKEN=wrong git ls-remote https://git.test/team/app.git');
    expect({ exitCode, stderr }).toEqual({ exitCode: 128, stderr: expect.stringContaining('Authentication failed') });
    const { stdout } = await run('curl', '-sSi', 'https://git.test/team/app.git/info/refs?service=git-upload-pack');
    expect(stdout).toMatch(/^HTTP\/1.1 401[\s\S]*www-authenticate: Basic/i);
  });

  test('has a repository that refuses every push', async () => {
    await clone('team/locked', '/tmp/locked');
    await change('/tmp/locked', 'mine');
    const before = await world.refs('team/locked');
    const { exitCode, stderr } = await run('git', '-C', '/tmp/locked', 'push', 'origin', 'main');
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining('remote: locked by policy') });
    expect(await world.refs('team/locked')).toEqual(before);
  });

  test('has other people, who push too', async () => {
    await clone('team/app', '/tmp/theirs');
    const theirs = {
      repository: 'team/app',
      branch: 'main',
      file: 'theirs',
      content: 'ä\n',
      message: 'Theirs',
    } as const;
    const commit = await world.commit(theirs);
    await run('git', '-C', '/tmp/theirs', 'pull', '-q');
    expect((await run('git', '-C', '/tmp/theirs', 'rev-parse', 'main')).stdout.trim()).toBe(commit);
    expect((await run('cat', '/tmp/theirs/theirs')).stdout).toBe('ä\n');
  });
});

describe('pkg.test', () => {
  test('gives its file to anybody, whole', async () => {
    const { url, bytes, sha256 } = world.pkg.file;
    const { stdout } = await sh(`curl -sS ${url} -o /tmp/file && stat -c %s /tmp/file && sha256sum < /tmp/file`);
    expect(stdout).toBe(`${bytes}\n${sha256}  -\n`);
  });

  test('describes a package, whose tarball is what it says', async () => {
    const { dist, version } = (await getJson(`${world.pkg.url}/tiny`)).versions['1.0.0'];
    const { stdout } = await sh(
      `cd /tmp && curl -sS ${dist.tarball} > t.tgz && openssl dgst -sha512 -binary t.tgz | base64 -w0 && tar -xzOf t.tgz package/package.json`,
    );
    const [, digest, manifest = ''] = /^([^{]+)(.*)$/s.exec(stdout) ?? [];
    expect(`sha512-${digest}`).toBe(dist.integrity);
    expect(JSON.parse(manifest)).toMatchObject({ name: 'tiny', version });
  });
});

describe('echo.test', () => {
  test.each(['echo.test', 'big.test'])('%s tells what it was sent', async (host) => {
    const echoed = await getJson('-X', 'PUT', '-H', 'X-Word: bottle', '-d', 'hello', `https://${host}/a?b=c`);
    expect(echoed).toMatchObject({ method: 'PUT', path: '/a?b=c', headers: { 'x-word': 'bottle' }, bodyLength: 5 });
    expect((await world.requests()).at(-1)).toMatchObject({ host, path: '/a?b=c', body: 'hello', status: 200 });
  });

  test('leaks a credential, in a header and in the body', async () => {
    const { stdout } = await run('curl', '-sSi', '-H', 'Authorization: Bearer me', 'https://echo.test/leak');
    expect(stdout).toMatch(/^x-leaked: Bearer me\r$[\s\S]*^you sent Bearer me, thank you$/m);
  });

  test.each([
    ['/401', '401 '],
    ['/403', '403 '],
    ['/redirect', '302 https://pkg.test/'],
    ['/redirect?to=https://echo.test/x', '302 https://echo.test/x'],
  ])('answers %s with %s', async (path, expected) => {
    const shown = '%{http_code} %{redirect_url}';
    const { stdout } = await run('curl', '-sS', '-o', '/dev/null', '-w', shown, `https://echo.test${path}`);
    expect(stdout).toBe(expected);
  });

  test('sends as many events, or bytes, as are asked for', async () => {
    const events = await run('curl', '-sSN', 'https://echo.test/slow-sse?n=3&ms=5');
    expect(events.stdout).toBe('event: tick\ndata: 0\n\nevent: tick\ndata: 1\n\nevent: tick\ndata: 2\n\n');
    expect((await sh('curl -sS "https://big.test/bytes?n=1000001" | wc -c')).stdout.trim()).toBe('1000001');
  });

  test('compresses for those who take it, and for them only', async () => {
    const encoding = ['-sS', '-o', '/dev/null', '-w', '%header{content-encoding}', 'https://echo.test/gzip'];
    expect((await run('curl', ...encoding)).stdout).toBe('');
    expect((await run('curl', '-H', 'Accept-Encoding: gzip', ...encoding)).stdout).toBe('gzip');
    expect(await getJson('--compressed', 'https://echo.test/gzip')).toMatchObject({ path: '/gzip' });
  });

  test('answers only those who ask it by its own name', async () => {
    const status = ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-H', 'Host: egress:9099', 'https://echo.test/'];
    expect((await run('curl', ...status)).stdout).toBe('421');
  });
});

describe('a world', () => {
  const left = async (label: string) => {
    const filters = { label: [`${WORLD_LABEL}=${label}`] };
    const containers = await docker.listContainers({ all: true, filters });
    return [...containers, ...(await docker.listNetworks({ filters }))].map(({ Id }) => Id);
  };

  test('is controlled from within its container only', async () => {
    const { exitCode } = await run('curl', '-sS', '--max-time', '5', `http://${world.address}:9000/requests`);
    expect(exitCode).toBe(7); // refused
  });

  test('leaves nothing, though somebody is still on its network', async () => {
    const label = `gone-${world.network.name}`;
    const other = await startWorld({ docker, image: guest, label });
    await docker.getNetwork(other.network.id).connect({ Container: client.id });
    expect(await left(label)).toHaveLength(2);
    await other.dispose();
    expect(await left(label)).toEqual([]);
    await other.dispose();
  });

  test('leaves nothing when it cannot start, and says why', async () => {
    const label = `never-${world.network.name}`;
    await expect(startWorld({ docker, image: await imageTag('base'), label })).rejects.toThrow(
      /did not start[\s\S]*node/,
    );
    expect(await left(label)).toEqual([]);
  });
});
