/**
 * A real agent in a real bottle, at work: the real `claude` talks to a scripted model through the scanner and egress,
 * clones and pushes through the gate, and asks its operator. The outside world is test/support/world.ts.
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { RequestView } from '../../src/core/requests.ts';
import type { StatusDocument } from '../../src/core/status.ts';
import { imageScanner, imageTags } from '../../src/host/images.ts';
import { docker, type Installation, installation, isReady, root, uniqueId } from '../support/installation.ts';
import { runIn } from '../support/run-in-container.ts';
import { startWorld, type World } from '../support/world.ts';

let world: World;
let it: Installation;
const id = uniqueId('agent');
/** Shaped like a key of a cloud that scanners know; put together here so that no scanner takes this file for a leak. */
const LEAKED = ['AKIA', 'Z7Q4MT2XKDFJ5PHB'].join('');

const scanner = await imageScanner();
if (scanner !== 'pipelock') {
  console.warn(
    'no pipelock here (BOTTLE_TOOLS, PATH, cache): the agent is tested behind the allow-list proxy, unscanned',
  );
}

beforeAll(async () => {
  const images = await imageTags();
  [world, it] = await Promise.all([startWorld({ docker, image: images.guest }), installation()]);
  const secretFile = (name: string, value: string): string => {
    const file = path.join(it.settings.home, name);
    writeFileSync(file, `${value}\n`, { mode: 0o600 });
    return `file:${file}`;
  };
  it.writeConfig(`network: {uplink: ${world.network.name}, ca: ${world.ca.file}}\n`);
  it.writeBottle(
    'work',
    `
agent_provider:
  api_key: ${secretFile('model-key', world.modelKey)}
  base_url: https://model.test
  private: true
allow: [pkg.test private]
egress:
  routes:
    - host: echo.test
      auth: {scheme: Bearer, token_ref: "${secretFile('echo-token', ECHO_TOKEN)}"}
      matches:
        - {methods: [GET], paths: [{type: prefix, value: /open}, {type: exact, value: /401}]}
        - {paths: [{type: exact, value: /mcp}]}
      private: true
git-gate:
  user: {name: Agent, email: agent@example.com}
  repos:
    app:
      url: https://git.test/team/app.git
      key: {provider: token, token_ref: "${secretFile('git-token', world.gitToken)}"}
    locked:
      url: https://git.test/team/locked.git
      key: {provider: token, token_ref: "${secretFile('git-token-2', world.gitToken)}"}
supervise: true
`,
  );
  it.writeAgent('worker', `bottle: work\nskills: [greeting]\n${CLAUDE_KEYS}`, 'PROMPT-MARKER: you are careful.');
  it.writeSkill('greeting', '---\nname: greeting\ndescription: SKILL-MARKER how to greet\n---\nSay hello.\n');
  await it.startWorker();
  await it.launch(id, { agent: 'worker' });
  await it.waitFor(id, isReady);
});

afterAll(async () => {
  await it?.dispose();
  await world?.dispose();
});

/** As in an agent file of Claude Code's own. */
const CLAUDE_KEYS = `
model: opus
effort: high
disallowedTools: WebSearch
mcpServers:
  - far: {type: http, url: "http://egress:9099/echo.test/mcp"}
hooks:
  Stop: [{hooks: [{type: command, command: "echo stopped >>/tmp/hooks"}]}]
`;
const ECHO_TOKEN = 'echo-credential-0123456789';

const inMachine = (...argv: string[]) => runIn({ docker }, machineName(id), argv, 'agent');
const claude = (prompt: string, ...more: string[]) =>
  inMachine(
    ...['claude', '-p', prompt, '--append-system-prompt-file', '/home/agent/.bottle/prompt.md'],
    ...['--dangerously-skip-permissions', ...more],
  );
const throughEgress = (address: string, ...more: string[]) =>
  inMachine('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', ...more, `http://egress:9099/${address}`);

async function bottle(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [path.join(root, 'dist/client/main.js'), ...args], { env: it.env });
}

const bundleLog = async (): Promise<string> =>
  (await docker.getContainer(bundleName(id)).logs({ stdout: true, stderr: true, follow: false })).toString();

async function request(matching: (request: RequestView) => boolean): Promise<RequestView> {
  const { requests } = await it.waitFor(id, (status) => status.requests.some(matching));
  return requests.find(matching) as RequestView;
}

test('the status names each daemon, ready, and the scanner', async () => {
  const { bundle, steps } = await it.status(id);
  expect(bundle).toMatchObject({
    daemons: { pipelock: 'ready', egress: 'ready', 'git-gate': 'ready', supervise: 'ready' },
    scanner,
    refused: [],
  });
  expect(steps.every(({ state }) => state === 'done')).toBe(true);
});

describe('a conversation', () => {
  test('that uses a tool goes through the whole chain, with prompt and skill', async () => {
    const { exitCode, stdout, stderr } = await claude(world.script({ run: 'echo tool-$((20 + 22))' }));
    expect(stderr).toBe('');
    expect(stdout).toContain('The command said: tool-42');
    expect(exitCode).toBe(0);
    const turns = (await world.requests()).filter(({ host, model }) => host === 'model.test' && model !== null);
    const [first] = turns.filter(({ model }) => model?.lastUserText.includes('tool-'));
    expect(first?.model?.system).toContain('PROMPT-MARKER');
    expect(first?.body).toContain('SKILL-MARKER');
    for (const { headers } of turns) {
      expect(headers['x-api-key']).toBe(world.modelKey);
      expect(headers['authorization']).toBeUndefined();
    }
  });

  test('is one of the model, effort, servers and hooks that the agent file names', async () => {
    const { stdout, stderr } = await claude(world.script({ call: 'mcp__far__ping', input: {} }));
    expect(stdout, stderr).toContain('The tool said: pong from far away');
    const turn = (await world.requests()).findLast(({ model }) => model?.lastUserText.includes('mcp__far__ping'));
    expect(turn?.model?.model).toContain('opus');
    expect(JSON.parse(turn?.body ?? '{}')).toMatchObject({ output_config: { effort: 'high' } });
    expect(turn?.model?.tools).not.toContain('WebSearch');
    expect((await inMachine('cat', '/tmp/hooks')).stdout).toContain('stopped\n');
    const asked = (await world.requests()).filter(({ host, path: at }) => host === 'echo.test' && at === '/mcp');
    expect(new Set(asked.map(({ headers }) => headers['authorization']))).toEqual(new Set([`Bearer ${ECHO_TOKEN}`]));
  });

  test('fetches pages of hosts that are allowed, and of no other', async () => {
    const fetched = (url: string) => claude(world.script({ call: 'WebFetch', input: { url, prompt: 'what is it' } }));
    expect((await fetched('https://pkg.test/tiny')).stdout).toContain('"name":"tiny"');
    const refused = (await fetched('https://git.test/')).stdout;
    expect(refused).toContain('The tool said: ');
    expect(refused).not.toContain('Unable to verify');
    const asked = await world.requests();
    expect(asked.filter(({ host, path: at }) => host === 'git.test' && at === '/')).toEqual([]);
  });

  test('goes on after a secret was read, which never leaves', async () => {
    const before = (await world.requests()).length;
    const first = await claude(world.script({ run: `echo the key is ${LEAKED.slice(0, 4)}""${LEAKED.slice(4)}` }));
    const second = await claude('and now something harmless', '-c');
    expect([first.exitCode, second.exitCode, second.stdout]).toEqual([
      0,
      0,
      expect.stringContaining('hello from the model'),
    ]);
    const sent = (await world.requests()).slice(before).filter(({ host }) => host === 'model.test');
    const leaks = sent.filter(({ body }) => body.includes(LEAKED));
    // The allow-list proxy scans nothing, and says so wherever it stands in.
    if (scanner === 'pipelock') expect(leaks).toEqual([]);
    else expect(leaks.length).toBeGreaterThan(0);
  });

  test.skipIf(scanner !== 'pipelock')(
    'a secret in a request of another kind is blocked, and the next passes',
    async () => {
      const blocked = await throughEgress('echo.test/open', '-X', 'GET', '-H', `X-Token: ${LEAKED}`);
      expect(blocked.stdout).toBe('403');
      expect((await throughEgress('echo.test/open')).stdout).toBe('200');
    },
  );
});

describe('a credential', () => {
  test('reaches the upstream, and is nowhere in the machine', async () => {
    expect((await throughEgress('echo.test/open/x', '-H', 'Authorization: Bearer mine')).stdout).toBe('200');
    const echoed = (await world.requests()).findLast(({ host }) => host === 'echo.test');
    expect(echoed?.headers['authorization']).toBe(`Bearer ${ECHO_TOKEN}`);
    const search = [
      ...['sh', '-c'],
      'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -raF -e "$1" -e "$2" -e "$3" /home /root /tmp /etc /var /opt /run; env',
      ...['sh', world.modelKey, ECHO_TOKEN, world.gitToken],
    ];
    // Without capabilities, root may not look into the agent's processes, nor the agent into root's files.
    const seen = await Promise.all(['agent', 'root'].map((user) => runIn({ docker }, machineName(id), search, user)));
    const stdout = seen.map((each) => each.stdout).join('\0');
    // The very command that searches holds what it searches for; it is the only place.
    const elsewhere = stdout.split('\0').filter((part) => !part.includes('grep -raF'));
    for (const secret of [world.modelKey, ECHO_TOKEN, world.gitToken]) {
      expect(elsewhere.filter((part) => part.includes(secret) && part !== secret)).toEqual([]);
    }
  });

  test('is in no history, log, label, environment or file of the host but its own', async () => {
    const shown = await it.temporal('workflow', 'show', '--workflow-id', id, '--output', 'json');
    const history = shown.replace(/"data": "([\w+/=]+)"/g, (_whole, data: string) =>
      Buffer.from(data, 'base64').toString(),
    );
    const containers = await Promise.all(
      [bundleName(id), machineName(id)].map((name) => docker.getContainer(name).inspect()),
    );
    const state = path.join(it.settings.state, 'bottles', id);
    const places = [
      history,
      JSON.stringify(containers),
      await bundleLog(),
      ...['plan.json', 'prompt.md'].map((file) => readFileSync(path.join(state, file), 'utf8')),
      JSON.stringify(await it.status(id)),
    ];
    // What is looked through is what it seems to be: the references are there.
    expect(history).toContain(`file:${it.settings.home}/model-key`);
    for (const secret of [world.modelKey, ECHO_TOKEN, world.gitToken]) {
      expect(places.filter((place) => place.includes(secret))).toEqual([]);
    }
  });

  test('that the upstream refuses is reported on the host too', async () => {
    expect((await throughEgress('echo.test/401')).stdout).toBe('401');
    const { bundle } = await it.waitFor(id, (status) => status.bundle?.refused.length === 1);
    expect(bundle?.refused).toEqual([{ route: 'echo.test', status: 401, at: expect.any(String) }]);
    expect((await bottle('status', id)).stdout).toContain(
      'the credential of echo.test was refused by the upstream (401)',
    );
  });
});

describe('the ways out', () => {
  test('are the listed hosts and routes, and no other', async () => {
    const code = async (...argv: string[]) =>
      (await inMachine('curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', ...argv)).stdout;
    expect(await code('-k', world.pkg.file.url)).toBe('200');
    expect(await code('-k', 'https://big.test/')).toBe('000');
    expect((await throughEgress('echo.test/closed')).stdout).toBe('403');
    expect((await throughEgress('echo.test/open', '-X', 'POST')).stdout).toBe('403');
    expect((await throughEgress('other.test/')).stdout).toBe('404');
  });
});

describe('git', () => {
  test('clones, commits and pushes through the gate by the upstream’s own address', async () => {
    const { exitCode, stderr } = await inMachine(
      ...['sh', '-ec'],
      'cd /tmp && rm -rf app && git clone -q https://git.test/team/app.git app && cd app && echo new > new.txt && git add . && git commit -qm "Add a file" && git push -q',
    );
    expect([exitCode, stderr]).toEqual([0, '']);
    const pushed = (await inMachine('git', '-C', '/tmp/app', 'rev-parse', 'HEAD')).stdout.trim();
    expect((await world.refs('team/app'))['refs/heads/main']).toBe(pushed);
  });

  test('refuses a push with a secret in a middle commit, by rule, file and commit', async () => {
    const before = (await world.refs('team/app'))['refs/heads/main'];
    const token = ['glpat-', 'x7Kq2MvT9sLw4RbN8dZe'].join('');
    const { exitCode, stderr } = await inMachine(
      ...['sh', '-ec'],
      `cd /tmp/app && echo 'token = "${token}"' > leak.txt && git add . && git commit -qm one && git rm -q leak.txt && git commit -qm two && git push -q`,
    );
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/gitlab-pat.*leak\.txt/i);
    expect(stderr).not.toContain(token);
    expect((await world.refs('team/app'))['refs/heads/main']).toBe(before);
    await inMachine('git', '-C', '/tmp/app', 'reset', '-q', '--hard', 'origin/main');
  });

  test('brings the upstream’s own refusal to the agent', async () => {
    const { exitCode, stderr } = await inMachine(
      ...['sh', '-ec'],
      'cd /tmp && rm -rf locked && git clone -q https://git.test/team/locked.git locked && cd locked && git commit -q --allow-empty -m more && git push -q',
    );
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('locked by policy');
  });
});

describe('asking the operator', () => {
  test('for a route: approved, the next request passes; when its time is over, it is refused again', async () => {
    expect((await throughEgress('echo.test/extra')).stdout).toBe('403');
    const ask = { host: 'echo.test', methods: ['GET'], pathPrefix: '/extra', reason: 'to read <b>more</b>' };
    const asked = await claude(world.script({ call: 'mcp__supervise__request_egress_route', input: ask }));
    expect(asked.stdout).toContain('pending');
    const { id: requestId } = await request(({ ask: { kind } }) => kind === 'egress-route');

    const listed = JSON.parse((await bottle('requests', id, '--json')).stdout);
    expect(listed).toEqual([expect.objectContaining({ bottle: id, id: requestId, state: 'pending' })]);
    const approved = JSON.parse((await bottle('approve', id, requestId, '--for', '15s', '--json')).stdout);
    expect(approved).toMatchObject({ bottle: id, id: requestId, state: 'approved', expiresAt: expect.any(String) });
    expect((await throughEgress('echo.test/extra')).stdout).toBe('200');
    // What the agent is told of it, requests.test.ts asks without a clock that runs.
    await it.waitFor(id, ({ requests, phase }) => phase === 'ready' && requests[0]?.state === 'expired');
    expect((await throughEgress('echo.test/extra')).stdout).toBe('403');
    expect((await throughEgress('echo.test/open')).stdout).toBe('200');
  });

  test('for a whole host: approved, tunnels to it open; taken back, they are refused', async () => {
    const tunnel = () => inMachine('curl', '-ksS', '-o', '/dev/null', '-w', '%{http_code}', 'https://big.test/');
    expect((await tunnel()).stdout).toBe('000');
    const ask = { host: 'big.test', reason: 'to download' };
    await claude(world.script({ call: 'mcp__supervise__request_egress_route', input: ask }));
    const { id: requestId } = await request(
      ({ ask: asked }) => asked.kind === 'egress-route' && asked.host === 'big.test',
    );
    await bottle('approve', id, requestId, '--private');
    expect((await tunnel()).stdout).toMatch(/^[234]\d\d$/);
    await bottle('deny', id, requestId, '--note', 'enough');
    expect((await tunnel()).stdout).toBe('000');
  });

  test('a question: the same one has one id, and the answer comes back', async () => {
    const call = {
      call: 'mcp__supervise__ask_operator',
      input: { question: 'Which colour?', options: ['red', 'blue'] },
    };
    await claude(world.script(call));
    await claude(world.script(call));
    const questions = (await it.status(id)).requests.filter(({ ask }) => ask.kind === 'question');
    const { id: requestId } = await request(({ ask }) => ask.kind === 'question');
    expect(questions.length).toBeLessThanOrEqual(1);
    await bottle('approve', id, requestId, '--note', 'blue, please');
    const told = await claude(world.script({ call: 'mcp__supervise__check_request', input: { requestId } }));
    expect(told.stdout).toContain('blue, please');
    await expect(bottle('deny', id, requestId)).rejects.toMatchObject({ code: 4 });
  });

  test('every answer is in the history', async () => {
    const { events } = await it.client.workflow.getHandle(id).fetchHistory();
    const updates = (events ?? []).filter(({ workflowExecutionUpdateAcceptedEventAttributes: accepted }) => {
      return accepted?.acceptedRequest?.input?.name === 'decide';
    });
    expect(updates.length).toBeGreaterThanOrEqual(4);
  });
});

describe('a daemon that is killed', () => {
  test.each(['pipelock', 'egress', 'git-gate', 'supervise'])('%s is back, and ready again', async (daemon) => {
    const restarts = async (): Promise<{ state: string; pid: number; restarts: number }> => {
      const { stdout } = await runIn({ docker }, bundleName(id), [
        ...['curl', '-s', '--unix-socket', '/run/bottle/init.sock', 'http://init/'],
      ]);
      return JSON.parse(stdout).daemons[daemon];
    };
    const before = await restarts();
    await runIn({ docker }, bundleName(id), ['sh', '-c', `kill -9 ${before.pid}`]);
    for (const end = Date.now() + 120_000; ; await sleep(50)) {
      const now = await restarts();
      if (now.state === 'ready' && now.restarts > before.restarts) break;
      if (Date.now() > end) throw new Error(`${daemon} is ${JSON.stringify(now)}`);
    }
    expect((await throughEgress('echo.test/open')).stdout).toBe('200');
  });

  test('took nothing of the bottle with it', async () => {
    const allReady = { pipelock: 'ready', egress: 'ready', 'git-gate': 'ready', supervise: 'ready' };
    const told = ({ phase, bundle }: StatusDocument): boolean =>
      phase === 'ready' && isDeepStrictEqual(bundle?.daemons, allReady);
    await it.waitFor(id, told);
    expect((await claude('still there?')).stdout).toContain('hello from the model');
  });
});

test('down leaves nothing', async () => {
  expect(await it.down(id)).toEqual([]);
  expect(existsSync(path.join(it.settings.state, 'bottles', id))).toBe(false);
});
