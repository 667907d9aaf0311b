/**
 * The real Codex in its real image, in a machine as the docker driver makes it, with the environment and the files that
 * a launch gives it. The bundle and the model behind it are played by test/fixtures/responses-api.ts.
 */
import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type Dockerode from 'dockerode';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { agentEnvironment, providerContext } from '../../src/core/agent-environment.ts';
import { PIPELOCK_PORT } from '../../src/core/daemons.ts';
import { GUEST } from '../../src/core/plan.ts';
import { CODEX_PLACEHOLDER, codex } from '../../src/core/providers/codex.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { type DockerSite, dockerSite, plansOf, type Ran, run } from '../support/docker-site.ts';
import { curl } from '../support/run-in-container.ts';

interface Asked {
  method: string;
  url: string;
  authorization?: string;
  body: string;
}

const MODEL = 'http://egress:9099/openai/v1/responses';
const PROMPT = 'Be brief. PROMPT-MARKER\n';
const SKILL = '---\nname: review\ndescription: SKILL-MARKER\n---\nRead it.\n';

let site: DockerSite;
let bottle: BottleRef;
let outside: Dockerode.Container;

beforeAll(async () => {
  site = await dockerSite();
  bottle = site.bottle('codex');
  const network = await site.network(bottle);
  outside = await playBundle(network);
  const route = { id: codex.route, upstream: codex.modelUrl, matches: [], auth: null, private: false, ca: null };
  const plan = {
    env: {},
    daemons: ['pipelock', 'egress', 'supervise'] as const satisfies string[],
    bundle: plansOf({ egress: { routes: [route] }, supervise: { maxPending: 1 } }),
    provider: { template: 'codex', credential: 'api_key' } as const,
    prompt: { empty: false, digest: '' },
  };
  const env = agentEnvironment(network, plan);
  const resources = { cpus: 2, memoryMiB: 1024, pids: 256 };
  await site.driver.create(bottle, { network, image: site.images.codex, env, resources });
  await site.driver.start(bottle);
  const files = [
    ...codex.files(providerContext(network, plan)),
    { path: GUEST.promptFile, mode: 0o600, text: PROMPT },
    { path: `${codex.skillsDirectory}/review/SKILL.md`, mode: 0o644, text: SKILL },
  ];
  await site.driver.putFiles(
    bottle.id,
    files.map(({ path, mode, text }) => ({ path, mode, content: Buffer.from(text) })),
  );
});
afterAll(() => site?.dispose());

/** At the bundle's address, so that the machine's environment is the one of every other. */
async function playBundle({ name, bundleIp }: NetworkFacts): Promise<Dockerode.Container> {
  const source = await readFile(fileURLToPath(new URL('../fixtures/responses-api.ts', import.meta.url)), 'utf8');
  const container = await site.stranger({
    Cmd: ['tini', '--', 'node', '--input-type=module-typescript', '--eval', source],
    HostConfig: { NetworkMode: name },
    NetworkingConfig: { EndpointsConfig: { [name]: { IPAMConfig: { IPv4Address: bundleIp } } } },
  });
  const retry = ['--retry', '20', '--retry-delay', '1', '--retry-connrefused'];
  const { stdout, stderr } = await curl(site, container.id, `http://127.0.0.1:${PIPELOCK_PORT}/`, ...retry);
  expect(stdout, stderr).toBe('[]');
  return container;
}

/** What was asked of the outside so far, oldest first. */
async function asked(): Promise<Asked[]> {
  return JSON.parse((await curl(site, outside.id, `http://127.0.0.1:${PIPELOCK_PORT}/`)).stdout) as Asked[];
}

const exec = (...args: string[]): Promise<Ran> =>
  run(site.driver, bottle.id, [...codex.argv({ promptEmpty: false }, ['exec']), ...args]);
const shell = (script: string): Promise<Ran> => run(site.driver, bottle.id, ['sh', '-c', script]);

/** A message that makes the model run JavaScript, which is how this model calls every tool. */
const script = (...lines: string[]): string => `run: ${lines.join('; ')}`;

let before: number;
beforeEach(async () => {
  before = (await asked()).length;
});
/** What this test has asked of the outside. */
const since = async (): Promise<Asked[]> => (await asked()).slice(before);

describe('codex exec', () => {
  test('prints what the model says, as the agent’s user and without a question', async () => {
    expect((await shell('id -un')).stdout).toBe('agent\n');
    const { exitCode, stdout } = await exec('say hi');
    expect([exitCode, stdout]).toEqual([0, 'hello from the model\n']);
  });

  test('asks the proxy for its model at egress, with the placeholder, and for nothing else but the operator’s tools', async () => {
    await exec('say hi');
    const all = await since();
    const tools = all.filter(({ url }) => url === '/mcp');
    expect(tools.map(({ body }) => JSON.parse(body).method)).toEqual([
      'initialize',
      'notifications/initialized',
      'tools/list',
    ]);
    const others = all.filter((each) => !tools.includes(each));
    expect(others.map(({ method, url, authorization }) => ({ method, url, authorization }))).toEqual([
      { method: 'POST', url: MODEL, authorization: `Bearer ${CODEX_PLACEHOLDER}` },
    ]);
    expect(tools.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test('adds the prompt to its own instructions, and knows the skills', async () => {
    await exec('say hi');
    const [request] = (await since()).filter(({ url }) => url === MODEL);
    expect(request?.body).toContain('You are Codex');
    expect(request?.body).toContain('PROMPT-MARKER');
    expect(request?.body).toContain('SKILL-MARKER');
  });

  test('calls a tool of the operator’s, and runs commands that it would ask about elsewhere', async () => {
    const { exitCode, stdout } = await exec(
      script(
        'const { content } = await tools.mcp__supervise__ask_operator({ question: "may I?" })',
        'const removed = await tools.exec_command({ cmd: "mkdir -p a/b && for i in a; do rm -rf $i; done; ls | wc -l" })',
        'const found = await tools.exec_command({ cmd: "rg --files /home/agent/.codex/rules" })',
        'text(JSON.stringify([content, removed.output, found.output]))',
      ),
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain('asked: may I?');
    expect(stdout.replaceAll('\\', '')).toContain('"0n"');
    expect(stdout).toContain('/home/agent/.codex/rules/bottle.rules');
  });

  test.each(['review', '--help'])('takes "%s" for a message', async (message) => {
    const { exitCode, stdout } = await exec(message);
    expect([exitCode, stdout]).toEqual([0, 'hello from the model\n']);
    const [request] = (await since()).filter(({ url }) => url === MODEL);
    expect(JSON.parse(request?.body ?? '').input.at(-1).content).toEqual([{ type: 'input_text', text: message }]);
  });

  test('leaves a link to the prompt where it reads instructions, whatever else it writes there', async () => {
    expect((await shell('readlink ~/.codex/AGENTS.md')).stdout).toBe(`${GUEST.promptFile}\n`);
  });
});

describe('codex in a terminal', () => {
  /** What it draws until `awaited` is there, or for some seconds, without white space: it draws none, it moves over. */
  async function screen(argv: readonly string[], awaited: RegExp, env: Record<string, string> = {}): Promise<string> {
    const [keys, output] = [new PassThrough(), new PassThrough()];
    const leaving = new AbortController();
    let drawn = '';
    output.on('data', (chunk: Buffer) => {
      drawn += chunk.toString();
      // It asks its terminal where the cursor is, and this is all the terminal there is.
      if (chunk.includes('\x1b[6n')) keys.write('\x1b[1;1R');
    });
    const ended = site.driver
      .exec(bottle.id, {
        argv,
        env: { TERM: 'xterm-256color', ...env },
        stdin: keys,
        stdout: output,
        stderr: output,
        terminal: { columns: 100, rows: 40 },
        signal: leaving.signal,
      })
      .catch(() => undefined);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what moves the cursor is what has to go
    const plain = () => drawn.replace(/\x1b\[[\d;?<>=]*[a-zA-Z]|\s/g, '');
    for (const end = Date.now() + 15_000; Date.now() < end && !awaited.test(plain()); ) await sleep(50);
    leaving.abort();
    await ended;
    return plain();
  }

  test('answers the first message and asks nothing before', async () => {
    const drawn = await screen([...codex.argv({ promptEmpty: false }, []), 'say hi'], /hellofromthemodel/);
    expect(drawn).toContain('hellofromthemodel');
    expect(drawn).not.toMatch(/Trustthisfolder|Signin/);
    const tunnels = (await since()).filter(({ method }) => method === 'CONNECT').map(({ url }) => url);
    // An announcement that it draws where it gets it, and nothing turns off.
    expect(tunnels).toEqual(['raw.githubusercontent.com:443']);
  });

  test('without its files would ask who pays', async () => {
    expect(await screen(['codex', '--no-daemon'], /Signin/, { CODEX_HOME: '/tmp' })).toContain('SigninwithChatGPT');
  });
});
