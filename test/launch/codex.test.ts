/**
 * The real Codex in a real bottle, as the real worker makes it: it talks to a scripted model through the scanner and
 * egress, runs commands, asks its operator, and is told its first message once.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { agentCommand } from '../../src/client/agent-command.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { Plan } from '../../src/core/plan.ts';
import { CODEX_PLACEHOLDER } from '../../src/core/providers/codex.ts';
import { readPlan, readPrompt } from '../../src/host/bottle-state.ts';
import { imageScanner, imageTags } from '../../src/host/images.ts';
import {
  docker,
  type Installation,
  installation,
  isReady,
  type Pause,
  uniqueId,
  type WorkerProcess,
} from '../support/installation.ts';
import { runIn } from '../support/run-in-container.ts';
import { type Recorded, startWorld, type World } from '../support/world.ts';

let world: World;
let it: Installation;
const scanner = await imageScanner();
if (scanner !== 'pipelock') console.warn('no pipelock here: Codex is tested behind the allow-list proxy, unscanned');

/** Shaped like a key of a cloud that scanners know; put together here so that no scanner takes this file for a leak. */
const LEAKED = ['AKIA', 'Z7Q4MT2XKDFJ5PHB'].join('');
const FIRST_MESSAGE = 'FIRST-MESSAGE of "all" $HOME';

beforeAll(async () => {
  const images = await imageTags();
  [world, it] = await Promise.all([startWorld({ docker, image: images.guest }), installation()]);
  const key = path.join(it.settings.home, 'model-key');
  writeFileSync(key, `${world.modelKey}\n`, { mode: 0o600 });
  it.writeConfig(`network: {uplink: ${world.network.name}, ca: ${world.ca.file}}\n`);
  const provider = `{template: codex, api_key: "file:${key}", base_url: https://model.test, private: true}`;
  it.writeBottle('work', `agent_provider: ${provider}\nsupervise: true`);
  it.writeAgent('worker', 'bottle: work\nskills: [greeting]', 'PROMPT-MARKER: you are careful.');
  it.writeSkill('greeting', '---\nname: greeting\ndescription: SKILL-MARKER how to greet\n---\nSay hello.\n');
});

afterAll(async () => {
  await it?.dispose();
  await world?.dispose();
});

const workers: WorkerProcess[] = [];
async function startWorker(pause?: Pause): Promise<WorkerProcess> {
  const worker = await it.startWorker(pause);
  workers.push(worker);
  return worker;
}
/** There is one at a time on a host. */
async function killWorkers(): Promise<void> {
  for (const worker of workers.splice(0)) await worker.kill();
}

const planOf = async (id: string): Promise<Plan> => (await readPlan(it.settings, id)) as Plan;
const inMachine = (id: string, ...argv: string[]) => runIn({ docker }, machineName(id), argv, 'agent');
/** As `bottle agent` starts it. */
const codex = async (id: string, ...args: string[]) => inMachine(id, ...agentCommand(await planOf(id), args));

let before = 0;
beforeEach(async () => {
  before = (await world.requests()).length;
});
/** What this test has asked of the world. */
const asked = async (): Promise<Recorded[]> => (await world.requests()).slice(before);

describe('a bottle for Codex', () => {
  const id = uniqueId('codex');
  beforeAll(async () => {
    await startWorker();
    await it.launch(id, { agent: 'worker', prompt: FIRST_MESSAGE });
    await it.waitFor(id, isReady);
  });
  afterAll(killWorkers);

  test('is ready with every step done, the check of Codex from inside too', async () => {
    const { steps, bundle } = await it.status(id);
    expect(steps.map(({ id: step, state, attempts }) => [step, state, attempts])).toEqual(
      steps.map(({ id: step }) => [step, 'done', 1]),
    );
    expect(steps.at(-1)?.id).toBe('check');
    expect(bundle).toMatchObject({
      daemons: { pipelock: 'ready', egress: 'ready', supervise: 'ready' },
      scanner,
      refused: [],
    });
    expect(await planOf(id)).toMatchObject({ provider: { template: 'codex', credential: 'api_key' } });
    const { Config } = await docker.getContainer(machineName(id)).inspect();
    expect(Config.Image).toBe((await imageTags())['codex-full']);
  });

  test('tells it the first message, once', async () => {
    const first = await codex(id, 'exec');
    expect([first.exitCode, first.stdout]).toEqual([0, `hello from the model: ${FIRST_MESSAGE}\n`]);
    const again = await codex(id, 'exec');
    expect(again.exitCode).not.toBe(0);
    expect(again.stderr).toContain('No prompt provided');
    expect((await asked()).map(({ model }) => model?.lastUserText)).toEqual([FIRST_MESSAGE]);
  });

  test('lets it print what its model says, which saw the key as a bearer, the prompt and the skill', async () => {
    const { exitCode, stdout } = await codex(id, 'exec', 'say hi');
    expect([exitCode, stdout]).toEqual([0, 'hello from the model: say hi\n']);
    const [request, ...more] = await asked();
    expect(more).toEqual([]);
    expect(request).toMatchObject({
      host: 'model.test',
      method: 'POST',
      path: '/v1/responses',
      status: 200,
      headers: { authorization: `Bearer ${world.modelKey}` },
      model: { stream: true, lastUserText: 'say hi' },
    });
    expect(request?.body).toContain('PROMPT-MARKER: you are careful.');
    expect(request?.model?.system).toContain('SKILL-MARKER');
  });

  test('lets it run a command in the workspace, and read its skill', async () => {
    const { exitCode, stdout } = await codex(
      id,
      'exec',
      world.script({ run: 'pwd; echo tool-$((20 + 22))' }, { run: 'cat ~/.agents/skills/greeting/SKILL.md' }),
    );
    expect(exitCode).toBe(0);
    expect(stdout).toContain('The command said: /home/agent/workspace\ntool-42\n');
    expect(stdout).toContain('Say hello.');
  });

  test('lets it go on after it read a secret, which never leaves, with its earlier thoughts as they were', async () => {
    const first = await codex(
      id,
      'exec',
      world.script({ run: `echo the key is ${LEAKED.slice(0, 4)}""${LEAKED.slice(4)}` }),
    );
    const second = await codex(id, 'exec', 'resume', '--last', 'and now something harmless');
    expect([first.exitCode, second.exitCode, second.stdout]).toEqual([
      0,
      0,
      'hello from the model: and now something harmless\n',
    ]);
    const bodies = (await asked()).map(({ body }) => body);
    expect(bodies).toHaveLength(3);
    const thoughts = bodies.map((body) => [...body.matchAll(/"encrypted_content":"(gAAAAAB[\w-]{2000}==)"/g)].length);
    expect(thoughts).toEqual([0, 1, 2]);
    const leaks = bodies.filter((body) => body.includes(LEAKED));
    // The allow-list proxy scans nothing, and says so wherever it stands in.
    expect(leaks).toHaveLength(scanner === 'pipelock' ? 0 : 2);
  });

  test('lets it ask the operator, and hear the answer', async () => {
    const question = { question: 'Which colour?', options: ['red', 'blue'] };
    const said = await codex(id, 'exec', world.script({ call: 'mcp__supervise__ask_operator', input: question }));
    expect(said.stdout).toMatch(/^The tool said: .*pending/);
    const { requests } = await it.waitFor(id, (status) => status.requests.length > 0);
    expect(requests).toMatchObject([{ ask: { kind: 'question', question: 'Which colour?' }, state: 'pending' }]);
    const requestId = requests[0]?.id as string;
    await it.client.workflow
      .getHandle(id)
      .executeUpdate('decide', { args: [{ request: requestId, decision: 'approve', note: 'blue, please' }] });
    const check = { call: 'mcp__supervise__check_request', input: { requestId } };
    expect((await codex(id, 'exec', world.script(check))).stdout).toContain('blue, please');
  });

  test('never shows its key to the machine, a history, a plan or a label, nor the placeholder to the model', async () => {
    // While Codex runs, and as its user: root in a machine may read nobody else's.
    await codex(id, 'exec', world.script({ run: 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline >/tmp/processes' }));
    const { stdout: processes } = await inMachine(id, 'cat', '/tmp/processes');
    const { stdout: files } = await runIn({ docker }, machineName(id), [
      ...['sh', '-c', 'for each; do echo "$each:"; grep -rlaF -e "$each" /home /root /tmp /etc /var /opt /run; done'],
      ...['sh', world.modelKey, CODEX_PLACEHOLDER],
    ]);
    expect(processes).not.toContain(world.modelKey);
    // What is looked through is what it seems to be: the placeholder is there, in Codex too.
    expect(processes.split(`OPENAI_API_KEY=${CODEX_PLACEHOLDER}\0`).length).toBeGreaterThan(3);
    expect(processes).toContain('codex\0exec\0');
    expect(files).toBe(`${world.modelKey}:\n${CODEX_PLACEHOLDER}:\n/tmp/processes\n`);
    const shown = await it.temporal('workflow', 'show', '--workflow-id', id, '--output', 'json');
    const history = shown.replace(/"data": "([\w+/=]+)"/g, (_whole, data: string) =>
      Buffer.from(data, 'base64').toString(),
    );
    expect(history).toContain(`file:${it.settings.home}/model-key`);
    const containers = [bundleName(id), machineName(id)].map((name) => docker.getContainer(name));
    const places = [
      history,
      JSON.stringify(await Promise.all(containers.map((container) => container.inspect()))),
      // Of a machine nothing is logged.
      (await docker.getContainer(bundleName(id)).logs({ stdout: true, stderr: true, follow: false })).toString(),
      JSON.stringify(await planOf(id)),
      await readPrompt(it.settings, id),
      JSON.stringify(await it.status(id)),
    ];
    expect(places.filter((place) => place.includes(world.modelKey))).toEqual([]);
    const requests = await world.requests();
    expect(requests.length).toBeGreaterThan(5);
    expect(JSON.stringify(requests)).not.toContain(CODEX_PLACEHOLDER);
  });

  test('leaves nothing when it goes down', async () => {
    expect(await it.objects(id)).toHaveLength(3);
    expect(await it.down(id)).toEqual([]);
  });
});

describe('a worker killed while it makes a bottle for Codex is replaced, and Codex finds all it needs once:', () => {
  afterEach(killWorkers);
  const moments: [at: string, when: Pause['when']][] = [
    ['machine.create', 'after'],
    ['provision.agent', 'after'],
    ['check', 'before'],
  ];
  test.each(moments)('%s, %s its work', async (at, when) => {
    const doomed = await startWorker({ at, when });
    const id = uniqueId('codex');
    await it.launch(id, { agent: 'worker', prompt: FIRST_MESSAGE });
    await doomed.paused();
    await doomed.kill();

    await startWorker();
    const { steps } = await it.waitFor(id, isReady);
    expect(steps.find((step) => step.id === at)).toMatchObject({ attempts: 2 });
    expect(await it.objects(id)).toEqual([`/bottle-${id}-bundle`, `/bottle-${id}-machine`, `bottle-${id}`]);
    // `codex --version` makes itself a folder of links.
    const files = 'cd ~ && find .codex .agents -path .codex/tmp -prune -o -not -type d -print | sort';
    expect((await inMachine(id, 'sh', '-c', files)).stdout.split('\n')).toEqual([
      '.agents/skills/greeting/SKILL.md',
      '.codex/AGENTS.md',
      '.codex/config.toml',
      '.codex/rules/bottle.rules',
      '',
    ]);
    expect((await codex(id, 'exec')).stdout).toBe(`hello from the model: ${FIRST_MESSAGE}\n`);
    const [request, ...more] = await asked();
    expect(more).toEqual([]);
    expect(request?.body).toContain('PROMPT-MARKER');
    expect(request?.model?.system).toContain('SKILL-MARKER');
    expect(await it.down(id)).toEqual([]);
  });
});
