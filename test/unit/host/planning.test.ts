import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import { agentNames, makePlan } from '../../../src/host/planning.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

// The tags need a build, which these tests do without.
vi.mock('../../../src/host/images.ts', () => ({
  imageTags: async () => ({ base: 'b:1', guest: 'guest:1', bundle: 'bundle:1' }),
  imageScanner: async () => 'pipelock',
}));

let settings: Settings;
beforeEach(() => {
  settings = readSettings({ BOTTLE_HOME: mkdtempSync(path.join(os.tmpdir(), 'bottle-home-')), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(settings.home, { recursive: true, force: true }));

function write(file: string, text: string): string {
  const target = path.join(settings.home, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
  return target;
}
const plan = async (request: Partial<Parameters<typeof makePlan>[0]> = {}): Promise<Plan> =>
  (await makePlan({ settings, agent: 'demo', env: {}, ...request })).plan;

describe('the plan', () => {
  test('of an agent file with a prompt and nothing else is all defaults', async () => {
    const file = write('agents/demo.md', 'Be kind.\n');
    expect(await makePlan({ settings, agent: 'demo', env: {} })).toEqual({
      prompt: 'Be kind.',
      plan: {
        agent: 'demo',
        driver: 'docker',
        sources: { agent: file, bottle: null },
        images: { guest: 'guest:1', bundle: 'bundle:1' },
        pool: '10.214.0.0/16',
        uplink: 'bridge',
        daemons: ['pipelock'],
        scanner: 'pipelock',
        bundle: { pipelock: { allow: ['api.anthropic.com'] }, egress: null, gitGate: null, supervise: null, ca: null },
        provider: { template: 'claude', credential: null },
        git: { user: {} },
        env: {},
        resources: { cpus: 2, memoryMiB: 4096, pids: 1024 },
        prompt: { empty: false },
        skills: [],
        guest: { skillsDirectory: '/home/agent/.claude/skills' },
      },
    });
  });

  test('takes from the bottle file what the agent file does not say', async () => {
    const bottle = write(
      'bottles/dev.md',
      '---\nallow: [a.test, api.anthropic.com]\nenv: {A: bottle, B: bottle}\nresources: {cpus: 4, pids: 99}\n---\nignored',
    );
    write('agents/demo.md', '---\nbottle: dev\nenv: {A: agent}\nresources: {cpus: 1}\nskills: [x, y, x]\n---\n');
    expect(await plan()).toMatchObject({
      sources: { bottle },
      bundle: { pipelock: { allow: ['api.anthropic.com', 'a.test'] } },
      env: { A: 'agent', B: 'bottle' },
      resources: { cpus: 1, memoryMiB: 4096, pids: 99 },
      skills: ['x', 'y'],
      prompt: { empty: true },
    });
  });

  test('takes the driver from the command line, the agent, the bottle, config.yaml, in this order', async () => {
    write('agents/demo.md', '');
    write('config.yaml', 'driver: smolvm');
    expect((await plan()).driver).toBe('smolvm');
    write('bottles/dev.md', '---\ndriver: docker\n---\n');
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    expect((await plan()).driver).toBe('docker');
    write('agents/demo.md', '---\nbottle: dev\ndriver: smolvm\n---\n');
    expect((await plan()).driver).toBe('smolvm');
    expect((await plan({ driver: 'docker' })).driver).toBe('docker');
  });

  test("has config.yaml's pool and limits", async () => {
    write('agents/demo.md', '---\nresources: {memoryMiB: 512}\n---\n');
    write('config.yaml', 'network: {pool: 10.9.0.0/20}\nresources: {cpus: 1, memoryMiB: 2048}');
    expect(await plan()).toMatchObject({ pool: '10.9.0.0/20', resources: { cpus: 1, memoryMiB: 512, pids: 1024 } });
  });

  test.each([
    ['/srv/skills', '/srv/skills'],
    ['/srv/../opt/skills/', '/opt/skills'],
    ['', '/home/agent/.claude/skills'],
  ])('puts skills where BOTTLE_GUEST_SKILLS_DIR=%j says', async (value, directory) => {
    write('agents/demo.md', '');
    expect((await plan({ env: { BOTTLE_GUEST_SKILLS_DIR: value } })).guest.skillsDirectory).toBe(directory);
    write('agents/demo.md', `---\nenv: {BOTTLE_GUEST_SKILLS_DIR: "${value}"}\n---\n`);
    expect((await plan()).guest.skillsDirectory).toBe(directory);
  });

  test.each(['skills', './x', '/', '/..'])('refuses %j as the place of skills', async (value) => {
    write('agents/demo.md', '');
    await expect(plan({ env: { BOTTLE_GUEST_SKILLS_DIR: value } })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('BOTTLE_GUEST_SKILLS_DIR: expected an absolute path'),
    });
  });

  test('is plain JSON without the prompt', async () => {
    write('agents/demo.md', 'xyzzy');
    const made = await plan();
    expect(JSON.parse(JSON.stringify(made))).toEqual(made);
    expect(JSON.stringify(made)).not.toContain('xyzzy');
  });
});

describe('an agent', () => {
  test('that has no file is an error which names those that have', async () => {
    for (const name of ['zoe', 'abe', '_template', 'Not']) write(`agents/${name}.md`, '');
    write('agents/readme.txt', '');
    await expect(plan()).rejects.toMatchObject({
      code: 'AGENT_NOT_FOUND',
      message: `there is no agent demo: ${path.join(settings.home, 'agents/demo.md')} is missing`,
      hint: 'agents here: abe, zoe',
    });
    expect(await agentNames(settings)).toEqual(['abe', 'zoe']);
  });

  test('where there is none at all is told how to write one', async () => {
    await expect(plan()).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND', hint: expect.stringMatching(/^write /) });
  });

  test.each(['../demo', 'Demo', 'a b', '', '.', 'a'.repeat(300).toUpperCase()])(
    'is never looked for under %j',
    async (agent) => {
      await expect(plan({ agent })).rejects.toMatchObject({
        code: 'AGENT_NOT_FOUND',
        message: expect.stringContaining("is not an agent's name"),
      });
    },
  );

  test('whose bottle file is missing is an error that names both', async () => {
    const file = write('agents/demo.md', '---\nbottle: dev\n---\n');
    await expect(plan()).rejects.toMatchObject({
      code: 'BOTTLE_FILE_NOT_FOUND',
      message: `${file}: bottle: there is no bottle file ${path.join(settings.home, 'bottles/dev.md')}`,
    });
  });

  test('with mistakes is told all of them with file and key', async () => {
    const file = write('agents/demo.md', '---\nskills: x\nextra: 1\n---\n');
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining(`${file}: skills: expected a list of skill names; extra: unknown key`),
    });
  });
});
