import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { asActivity } from '../../src/activities/as-activity.ts';
import { BottleError } from '../../src/core/errors.ts';
import { smolmachineOf } from '../../src/core/smolmachine.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { findProgram } from '../../src/host/bundle-programs.ts';
import { imageTags } from '../../src/host/images.ts';
import { obtainSmolvm } from '../../src/host/smolvm-package.ts';
import { type ActivitySite, activityEnvironment, activitySite } from '../support/activity-site.ts';

let site: ActivitySite;
beforeAll(async () => {
  site = await activitySite();
});
afterAll(() => site?.dispose());
afterEach(() => vi.unstubAllEnvs());
beforeEach(() => rmSync(site.settings.home, { recursive: true, force: true }));

const prepare = (bottle: BottleRef = site.bottle(), agent = 'demo') => site.step('prepare', { bottle, agent });
const stateOf = ({ id }: BottleRef): string => path.join(site.settings.state, 'bottles', id);
const mode = (file: string): string => (statSync(file).mode & 0o777).toString(8);

describe('prepare', () => {
  test('keeps plan and prompt for the owner alone, and gives the plan and where to look', async () => {
    site.write('agents/demo.md', '---\nbottle: dev\nskills: [review]\nenv: {A: 1}\n---\nYou are careful.\n');
    site.write('bottles/dev.md', '---\nallow: [pkg.example.com]\nenv: {A: 0, B: b}\n---\nFor people.\n');
    const bottle = site.bottle();
    const { plan, uiUrl } = await prepare(bottle);
    expect(uiUrl).toBe(`http://ui.test/${bottle.id}/${bottle.runId}`);
    expect(plan).toMatchObject({
      agent: 'demo',
      driver: 'docker',
      sources: {
        agent: path.join(site.settings.home, 'agents/demo.md'),
        bottles: [path.join(site.settings.home, 'bottles/dev.md')],
      },
      images: { guest: site.images['guest-full'], bundle: site.images.bundle },
      bundle: { pipelock: { allow: ['api.anthropic.com', 'platform.claude.com', 'pkg.example.com'] } },
      env: { A: '1', B: 'b' },
      skills: ['review'],
      prompt: { empty: false },
    });
    const directory = stateOf(bottle);
    expect(readdirSync(directory).sort()).toEqual(['launch.json', 'owner.json', 'plan.json', 'prompt.md']);
    expect(JSON.parse(readFileSync(path.join(directory, 'plan.json'), 'utf8'))).toEqual(plan);
    expect(readFileSync(path.join(directory, 'prompt.md'), 'utf8')).toBe('You are careful.');
    expect([site.settings.state, path.dirname(directory), directory].map(mode)).toEqual(['700', '700', '700']);
    expect([mode(path.join(directory, 'plan.json')), mode(path.join(directory, 'prompt.md'))]).toEqual(['600', '600']);
  });

  test('makes a plan for each daemon that something needs, with references where secrets go', async () => {
    site.write('agents/demo.md', '---\nbottle: dev\ngit-gate: {user: {name: Agent}}\n---\n');
    site.write(
      'bottles/dev.md',
      `---
agent_provider: {api_key: MY_KEY}
egress: {routes: [{host: api.example.com, auth: {scheme: token, token_ref: 'file:/run/token'}}]}
git-gate: {user: {email: a@example.com}, repos: {app: {url: 'https://git.example.com/app', key: {provider: token, token_ref: GIT}}}}
supervise: true
---
`,
    );
    const { plan } = await prepare(site.bottle());
    expect(plan.daemons).toEqual(['pipelock', 'egress', 'git-gate', 'supervise']);
    expect(plan.bundle.egress?.routes.map(({ id, auth }) => [id, auth?.secret])).toEqual([
      ['anthropic', 'env:MY_KEY'],
      ['api.example.com', 'file:/run/token'],
    ]);
    expect(plan.bundle.gitGate?.repos[0]?.key?.secret).toBe('env:GIT');
    expect(plan.git.user).toEqual({ name: 'Agent', email: 'a@example.com' });
  });

  test('reads no secret: none is in the plan or beside it, and one that is missing is no concern of it', async () => {
    const secrets = [`of-a-variable-${randomUUID()}`, `of-a-file-${randomUUID()}`] as const;
    vi.stubEnv('BOTTLE_TEST_KEY', secrets[0]);
    const file = site.write('token', secrets[1], 0o600);
    site.write('agents/demo.md', '---\nbottle: dev\n---\n');
    site.write(
      'bottles/dev.md',
      `---
agent_provider: {auth_token: BOTTLE_TEST_KEY}
egress:
  routes:
    - {host: one.example.com, auth: {scheme: Bearer, token_ref: 'file:${file}'}}
    - {host: two.example.com, auth: {scheme: Bearer, token_ref: 'file:/no/such-secret'}}
---
`,
    );
    const bottle = site.bottle();
    const result = JSON.stringify(await prepare(bottle));
    const kept = readdirSync(stateOf(bottle)).map((name) => readFileSync(path.join(stateOf(bottle), name), 'utf8'));
    for (const text of [result, ...kept]) {
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
    expect(result).toContain(`file:${file}`);
  });

  test.each([
    ['of the manifest', 'agent_provider: {api_key: sk-ant-in-the-open}'],
    ['of a route', "egress: {routes: [{host: a.example.com, auth: {scheme: Bearer, token_ref: 'ghp 123'}}]}"],
  ])('refuses a secret %s that is written out, and does not repeat it', async (_where, frontMatter) => {
    site.write('agents/demo.md', '---\nbottle: dev\n---\n');
    site.write('bottles/dev.md', `---\n${frontMatter}\n---\n`);
    const failure = await prepare().then(
      () => expect.unreachable(),
      (error: ApplicationFailure) => error,
    );
    expect(failure).toMatchObject({
      type: 'MANIFEST_INVALID',
      message: expect.stringContaining('not the secret itself'),
    });
    expect(JSON.stringify(failure.details) + failure.message).not.toMatch(/in-the-open|ghp 123/);
  });

  test('with repositories, and a bundle without gitleaks, is for a person to mend', async () => {
    const repos = "git-gate: {repos: {app: {url: 'https://git.example.com/app'}}}";
    site.write('agents/demo.md', '---\nbottle: dev\n---\n');
    site.write('bottles/dev.md', `---\n${repos}\n---\n`);
    if ((await findProgram('gitleaks')) !== undefined) await prepare();
    // As on a computer that has neither of the programs, and whose images were built so.
    for (const [name, value] of Object.entries({ BOTTLE_TOOLS: '', PATH: '/nowhere', BOTTLE_CACHE: '/nowhere' })) {
      vi.stubEnv(name, value);
    }
    const untag = await standIn((await imageTags()).bundle);
    try {
      const hint = expect.stringMatching(/gitleaks.*BOTTLE_TOOLS/);
      await expect(prepare()).rejects.toMatchObject({ type: 'TOOL_MISSING', nonRetryable: true, details: [{ hint }] });
      site.write('bottles/dev.md', '---\nallow: [a.example.com]\n---\n');
      expect((await prepare()).plan.scanner).toBe('allow-list');
    } finally {
      await untag();
    }
  });

  test('of a packed machine finds out that it is not there before anything is made, and asks the Engine for none', async () => {
    site.write('agents/demo.md', '---\ndriver: smolvm\nimage: {smolmachine: ./guest.smolmachine}\n---\n');
    const bottle = site.bottle();
    await expect(prepare(bottle)).rejects.toMatchObject({
      type: 'IMAGE_MISSING',
      nonRetryable: true,
      message: `the packed machine ${path.join(site.settings.home, 'agents/guest.smolmachine')} is not there`,
      details: [{ hint: expect.stringContaining('smolvm pack create') }],
    });
    expect(existsSync(path.join(stateOf(bottle), 'plan.json'))).toBe(false);
    const file = site.write('agents/guest.smolmachine', 'packed');
    await obtainSmolvm((line) => console.error(line));
    const { plan } = await prepare(bottle);
    expect(smolmachineOf(plan.images.guest)).toMatchObject({ file });
    // Seen again as something else when it is.
    site.write('agents/guest.smolmachine', 'packed anew');
    expect((await prepare(bottle)).plan.images.guest).not.toBe(plan.images.guest);
  });

  test('puts no word of the prompt into what a history keeps', async () => {
    site.write('agents/demo.md', 'The word is xyzzy-plugh.');
    const bottle = site.bottle();
    expect(JSON.stringify(await prepare(bottle))).not.toContain('xyzzy');
    expect(readFileSync(path.join(stateOf(bottle), 'plan.json'), 'utf8')).not.toContain('xyzzy');
  });

  test('run again reads what is on disk now', async () => {
    const bottle = site.bottle();
    site.write('agents/demo.md', '---\nbottle: missing\n---\n');
    await expect(prepare(bottle)).rejects.toMatchObject({
      type: 'MANIFEST_INVALID',
      message: expect.stringContaining('there is no bottle file'),
    });
    site.write('agents/demo.md', 'mended');
    expect((await prepare(bottle)).plan.sources.bottles).toEqual([]);
    site.write('agents/demo.md', '');
    expect((await prepare(bottle)).plan.prompt.empty).toBe(true);
    expect(readFileSync(path.join(stateOf(bottle), 'prompt.md'), 'utf8')).toBe('');
  });

  test.each([
    ['AGENT_NOT_FOUND', 'demo', {}, /there is no agent demo: .*agents\/demo\.md is missing/],
    ['AGENT_NOT_FOUND', '../demo', {}, /is not an agent's name/],
    ['MANIFEST_INVALID', 'demo', { 'agents/demo.md': '---\nbottle: dev\n---' }, /bottles\/dev\.md/],
    [
      'MANIFEST_INVALID',
      'demo',
      { 'agents/demo.md': '---\nskill: [x]\n---' },
      /agents\/demo\.md:2:1: skill: unknown key; did you mean skills\?/,
    ],
    ['MANIFEST_INVALID', 'demo', { 'agents/demo.md': '---\na: [\n---' }, /agents\/demo\.md:3?\d?.*is not YAML/],
    [
      'MANIFEST_INVALID',
      'demo',
      { 'agents/demo.md': '---\nbottle: dev\n---', 'bottles/dev.md': '---\nallow: "*"\n---' },
      /bottles\/dev\.md:2:8: allow: expected a list/,
    ],
    [
      'MANIFEST_INVALID',
      'demo',
      { 'agents/demo.md': '', 'config.yaml': 'network: {pool: 1}' },
      /config\.yaml:1:17: network\.pool/,
    ],
  ])('fails with %s for a person to mend (%s, %j)', async (type, agent, files, message) => {
    for (const [file, text] of Object.entries(files)) site.write(file, text);
    const bottle = site.bottle();
    await expect(prepare(bottle, agent)).rejects.toMatchObject({
      type,
      nonRetryable: true,
      message: expect.stringMatching(message),
    });
    expect(existsSync(path.join(stateOf(bottle), 'plan.json'))).toBe(false);
  });

  test('its undo takes the state away, and is content when there is none', async () => {
    site.write('agents/demo.md', '');
    const [bottle, other] = [site.bottle(), site.bottle()];
    await Promise.all([prepare(bottle), prepare(other)]);
    await site.step('state.remove', { bottle });
    await site.step('state.remove', { bottle });
    expect([existsSync(stateOf(bottle)), existsSync(stateOf(other))]).toEqual([false, true]);
  });
});

/** Makes sure that there is an image of that tag, be it another one; what it returns takes back what it did. */
async function standIn(image: string): Promise<() => Promise<void>> {
  const there = await site.docker
    .getImage(image)
    .inspect()
    .then(
      () => true,
      () => false,
    );
  if (there) return async () => undefined;
  const [repo = '', tag = ''] = image.split(':');
  await site.docker.getImage(site.images.bundle).tag({ repo, tag });
  return () => site.docker.getImage(image).remove();
}

describe('a step as an activity', () => {
  const run = (step: Parameters<typeof asActivity>[0], environment = activityEnvironment()) =>
    environment.run(asActivity(step), 'input');
  const failureOf = async (step: Parameters<typeof asActivity>[0], attempt = 1): Promise<ApplicationFailure> =>
    run(step, activityEnvironment({ attempt })).then(
      () => expect.unreachable(),
      (error: ApplicationFailure) => error,
    );

  test('gives its value and which attempt it was', async () => {
    const environment = activityEnvironment({ attempt: 3 });
    expect(await run(async (input) => [input], environment)).toEqual({ attempt: 3, value: ['input'] });
  });

  test("fails with the error's code as type, and code, message, hint and attempt as detail", async () => {
    const error = new BottleError('DOCKER_UNREACHABLE', 'no answer', { hint: 'start it' });
    const failure = await failureOf(() => Promise.reject(error), 2);
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect(failure).toMatchObject({
      type: 'DOCKER_UNREACHABLE',
      message: 'no answer',
      nonRetryable: false,
      details: [{ code: 'DOCKER_UNREACHABLE', message: 'no answer', hint: 'start it', attempt: 2 }],
    });
  });

  test('is not tried again by itself when the error says that it cannot help', async () => {
    expect(await failureOf(() => Promise.reject(new BottleError('SKILL_NOT_FOUND', 'x')))).toMatchObject({
      nonRetryable: true,
    });
    const overridden = new BottleError('PROVISION_FAILED', 'x', { retryable: false });
    expect(await failureOf(() => Promise.reject(overridden))).toMatchObject({ nonRetryable: true });
  });

  test('reports what is no error of ours as INTERNAL, which may pass', async () => {
    for (const thrown of [new TypeError('x is not\na function'), 'a string', undefined]) {
      const failure = await failureOf(() => Promise.reject(thrown));
      expect(failure).toMatchObject({ type: 'INTERNAL', nonRetryable: false });
      expect(failure.message).not.toContain('\n');
    }
  });

  test('beats while it works, and no more when it is over', async () => {
    const environment = activityEnvironment();
    let beats = 0;
    environment.on('heartbeat', () => {
      beats += 1;
    });
    await run(async () => {
      await expect.poll(() => beats).toBeGreaterThan(1);
      return null;
    }, environment);
    const atEnd = beats;
    await sleep(1500);
    expect(beats).toBe(atEnd);
  });

  test('is cancelled, not failed, when its signal ends it, whatever was thrown then', async () => {
    for (const thrown of [new Error('socket hang up'), new BottleError('DOCKER_ERROR', 'gone')]) {
      const environment = activityEnvironment();
      const ended = run(
        (_input, signal) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(thrown));
          }),
        environment,
      );
      environment.cancel('CANCELLED');
      await expect(ended).rejects.toBeInstanceOf(CancelledFailure);
    }
  });

  test('ends a real bundle that never gets ready when it is cancelled', async () => {
    const bottle = site.bottle();
    const network = await site.network(bottle);
    const environment = activityEnvironment();
    const input = { ...site.bundleInput(bottle, network), image: site.images.guest };
    const ended = site.step('bundle', input, environment);
    await sleep(500);
    environment.cancel();
    await expect(ended).rejects.toBeInstanceOf(CancelledFailure);
    await site.step('bundle.remove', { bottle });
    await site.step('network.remove', { bottle });
    expect(await site.networksOf(bottle)).toEqual([]);
  });
});
