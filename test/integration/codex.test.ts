/**
 * The real Codex in its real image, in a machine as the docker driver makes it, with the environment and the files that
 * a launch gives it, behind a real bundle. Its model is played by test/support/world.ts.
 */
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RequestRecord } from '../../src/bundle/allow-list-proxy.ts';
import { agentEnvironment, providerContext } from '../../src/core/agent-environment.ts';
import { daemonsOf } from '../../src/core/bundle-plans.ts';
import { bundleName } from '../../src/core/names.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { AgentSettings } from '../../src/core/providers/agent-settings.ts';
import { CODEX_PLACEHOLDER, codex } from '../../src/core/providers/codex.ts';
import type { ProviderContext } from '../../src/core/providers/provider.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { type DockerSite, dockerSite, plansOf, type Ran, run } from '../support/docker-site.ts';
import { routeTo } from '../support/full-bundle.ts';
import { startWorld, type World } from '../support/world.ts';

const PROMPT = 'Be brief. PROMPT-MARKER\n';
const SKILL = '---\nname: review\ndescription: SKILL-MARKER\n---\nRead it.\n';

let site: DockerSite;
let world: World;
let bottle: BottleRef;
let context: ProviderContext;

beforeAll(async () => {
  site = await dockerSite();
  world = await startWorld({ docker: site.docker, image: site.images.guest });
  bottle = site.bottle('codex');
  const network = await site.network(bottle);
  const auth = codex.auth('api_key', site.secret(world.modelKey));
  const plans = plansOf({
    pipelock: { allow: [], intercept: false },
    egress: { routes: [routeTo('model.test', { id: codex.route, auth })] },
    supervise: { maxPending: 10 },
    ca: world.ca.file,
  });
  const bundle = site.bundleInput(bottle, network, { uplink: world.network.name, plans });
  await ensureBundle(site, bundle, new AbortController().signal);
  const plan = {
    env: {},
    daemons: daemonsOf(plans),
    bundle: plans,
    provider: { template: 'codex', credential: 'api_key' } as const,
    prompt: { empty: false, digest: '' },
  };
  const env = agentEnvironment(network, plan);
  const resources = { cpus: 2, memoryMiB: 1024, pids: 256 };
  await site.driver.create(bottle, { network, image: site.images.codex, env, resources });
  await site.driver.start(bottle);
  context = providerContext(network, plan);
  const files = [
    ...codex.files(context),
    { path: GUEST.promptFile, mode: 0o600, text: PROMPT },
    { path: `${codex.skillsDirectory}/review/SKILL.md`, mode: 0o644, text: SKILL },
  ];
  await site.driver.putFiles(
    bottle.id,
    files.map(({ path, mode, text }) => ({ path, mode, content: Buffer.from(text) })),
  );
});
afterAll(async () => {
  await site?.dispose();
  await world?.dispose();
});

const exec = (...args: string[]): Promise<Ran> =>
  run(site.driver, bottle.id, [...codex.argv({ promptEmpty: false }, ['exec']), ...args]);
const shell = (script: string): Promise<Ran> => run(site.driver, bottle.id, ['sh', '-c', script]);

/** What the proxy was asked so far, oldest first. */
async function proxied(): Promise<RequestRecord[]> {
  const log = await site.docker.getContainer(bundleName(bottle.id)).logs({ stdout: true, stderr: true, follow: false });
  return [...log.toString().matchAll(/\{"method":.*"verdict":.*\}/g)].map(
    ([line]) => JSON.parse(line) as RequestRecord,
  );
}

let before: { asked: number; proxied: number };
beforeEach(async () => {
  before = { asked: (await world.requests()).length, proxied: (await proxied()).length };
});
/** What this test has asked of the model, and of the proxy. */
const asked = async () => (await world.requests()).slice(before.asked);
/** Each once: an answer is logged when it is over, which may be in the next test. */
const ways = async (): Promise<string[]> => {
  const all = (await proxied()).slice(before.proxied);
  return [...new Set(all.map(({ method, host, verdict }) => `${verdict} ${method} ${host}`))];
};

describe('codex exec', () => {
  test('prints what the model says, as the agent’s user and without a question', async () => {
    expect((await shell('id -un')).stdout).toBe('agent\n');
    const { exitCode, stdout } = await exec('say hi');
    expect([exitCode, stdout]).toEqual([0, 'hello from the model: say hi\n']);
  });

  test('asks the proxy for its model at egress, and for nothing else; it holds a placeholder, the model sees the key', async () => {
    await exec('say hi');
    await expect.poll(ways).toEqual(['allow POST egress']);
    expect(await asked()).toEqual([
      expect.objectContaining({
        method: 'POST',
        path: '/v1/responses',
        headers: expect.objectContaining({ authorization: `Bearer ${world.modelKey}` }),
      }),
    ]);
    expect((await shell('echo "$OPENAI_API_KEY"')).stdout).toBe(`${CODEX_PLACEHOLDER}\n`);
  });

  test('has the model, effort and servers that an agent file asks for', async () => {
    const home = `${GUEST.home}/.asked`;
    await shell(`mkdir ${home}`);
    const as = async (settings: AgentSettings): Promise<void> => {
      const [config] = codex.files({ ...context, settings });
      const content = Buffer.from(config?.text ?? '');
      await site.driver.putFiles(bottle.id, [{ path: `${home}/config.toml`, mode: 0o600, content }]);
    };
    const headers = { Authorization: 'Bearer ${TOK}', 'x-a': 'b' };
    await as({ mcpServers: { far: { type: 'http', url: 'http://egress:9099/echo.test/mcp', headers } } });
    const { stdout } = await shell(`CODEX_HOME=${home} codex mcp list --json`);
    expect(JSON.parse(stdout)).toMatchObject([
      {
        name: 'far',
        enabled: true,
        transport: {
          url: 'http://egress:9099/echo.test/mcp',
          bearer_token_env_var: 'TOK',
          http_headers: { 'x-a': 'b' },
        },
      },
      { name: 'supervise', enabled: true },
    ]);
    await as({ model: 'gpt-5-of-yours', effort: 'low' });
    const { exitCode, stderr } = await shell(`CODEX_HOME=${home} codex exec --skip-git-repo-check 'say hi'`);
    expect(exitCode, stderr).toBe(0);
    const [request] = await asked();
    expect(request?.model?.model).toBe('gpt-5-of-yours');
    expect(JSON.parse(request?.body ?? '{}')).toMatchObject({ reasoning: { effort: 'low' } });
  });

  test('adds the prompt to its own instructions, and knows the skills', async () => {
    await exec('say hi');
    const [request] = await asked();
    expect(request?.model?.system).toContain('You are Codex');
    expect(request?.body).toContain('PROMPT-MARKER');
    expect(request?.model?.system).toContain('SKILL-MARKER');
  });

  test('calls a tool of the operator’s, and runs commands that it would ask about elsewhere', async () => {
    const { exitCode, stdout } = await exec(
      world.script(
        { call: 'mcp__supervise__ask_operator', input: { question: 'may I?' } },
        { run: 'mkdir -p a/b && for i in a; do rm -rf $i; done; ls | wc -l' },
        { run: 'rg --files /home/agent/.codex/rules' },
      ),
    );
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^The tool said: .*pending/);
    expect(stdout).toContain('The command said: 0\n');
    expect(stdout).toContain('The command said: /home/agent/.codex/rules/bottle.rules\n');
  });

  test.each(['review', '--help'])('takes "%s" for a message', async (message) => {
    const { exitCode, stdout } = await exec(message);
    expect([exitCode, stdout]).toEqual([0, `hello from the model: ${message}\n`]);
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
    for (const end = Date.now() + 120_000; Date.now() < end && !awaited.test(plain()); ) await sleep(50);
    leaving.abort();
    await ended;
    return plain();
  }

  test('answers the first message and asks nothing before', async () => {
    const drawn = await screen([...codex.argv({ promptEmpty: false }, []), 'say hi'], /hellofromthemodel/);
    expect(drawn).toContain('hellofromthemodel');
    expect(drawn).not.toMatch(/Trustthisfolder|Signin/);
    // An announcement that it draws where it gets it, and nothing turns off.
    await expect
      .poll(async () => (await ways()).toSorted())
      .toEqual(['allow POST egress', 'deny CONNECT raw.githubusercontent.com']);
  });

  test('without its files would ask who pays', async () => {
    expect(await screen(['codex', '--no-daemon'], /Signin/, { CODEX_HOME: '/tmp' })).toContain('SigninwithChatGPT');
  });
});
