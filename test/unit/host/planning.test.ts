import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LaunchInput } from '../../../src/core/launch-input.ts';
import type { Plan } from '../../../src/core/plan.ts';
import { smolmachineOf } from '../../../src/core/smolmachine.ts';
import { readConfigProblems } from '../../../src/host/config-file.ts';
import { expandHome } from '../../../src/host/expand-home.ts';
import { makePlan } from '../../../src/host/planning.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';
import { smolmachineDigest } from '../../../src/host/smolmachine.ts';
import { testCa } from '../../support/test-ca.ts';

// The tags need a build, which these tests do without.
vi.mock('../../../src/host/images.ts', () => ({
  imageTags: async () => ({ guest: 'small:1', 'guest-full': 'guest:1', 'codex-full': 'codex:1', bundle: 'bundle:1' }),
  imageScanner: async () => 'pipelock',
}));

let settings: Settings;
beforeEach(() => {
  const home = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'bottle-home-')));
  settings = readSettings({ BOTTLE_HOME: home, BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(settings.home, { recursive: true, force: true }));

function write(file: string, text: string): string {
  const target = path.join(settings.home, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
  return target;
}
const planned = (launch: Partial<LaunchInput> = {}, env: NodeJS.ProcessEnv = {}) =>
  makePlan({ settings, launch: { agent: 'demo', ...launch }, env });
const plan = async (launch: Partial<LaunchInput> = {}, env: NodeJS.ProcessEnv = {}): Promise<Plan> =>
  (await planned(launch, env)).plan;

describe('the image', () => {
  test.each([
    ['', 'guest:1', 'full'],
    ['image: full\n', 'guest:1', 'full'],
    ['image: minimal\n', 'small:1', 'minimal'],
    // A person's own of such a name is written with its tag.
    ['image: minimal:latest\n', 'minimal:latest', null],
  ])('of %j is %s', async (written, guest, stock) => {
    write('agents/demo.md', `---\nname: demo\n${written}---\n`);
    expect(await plan()).toMatchObject({ images: { guest }, stock });
  });
});

describe('the plan', () => {
  test('of an agent file with a prompt and nothing else is all defaults', async () => {
    const file = write('agents/demo.md', 'Be kind.\n');
    const { plan: made, prompt, manifest } = await planned();
    expect(prompt).toBe('Be kind.');
    expect(manifest.agent).toMatchObject({ name: 'demo', file });
    expect(made).toEqual({
      agent: 'demo',
      agentSettings: {},
      driver: 'docker',
      sources: { agent: file, bottles: [] },
      images: { guest: 'guest:1', bundle: 'bundle:1' },
      stock: 'full',
      dockerfile: null,
      pool: '10.214.0.0/16',
      uplink: 'bridge',
      daemons: ['pipelock'],
      scanner: 'pipelock',
      bundle: {
        pipelock: { allow: ['api.anthropic.com', 'platform.claude.com'], intercept: false },
        egress: null,
        gitGate: null,
        supervise: null,
        ca: null,
      },
      provider: { template: 'claude', credential: null },
      git: { user: {} },
      env: {},
      front: true,
      privateEnv: {},
      resources: { cpus: 2, memoryMiB: 4096, pids: 1024 },
      limits: { lifetimeMs: null, idleMs: null },
      prompt: { empty: false, digest: expect.stringMatching(/^[0-9a-f]{16}$/) },
      message: null,
      workspace: null,
      skills: [],
      skillsDigest: expect.stringMatching(/^[0-9a-f]{16}$/),
      guest: { skillsDirectory: '/home/agent/.claude/skills' },
    });
  });

  test('takes from the bottle files what the agent file does not say', async () => {
    const base = write('bottles/base.md', '---\nlimits: {lifetime: 8h}\nsupervise: true\n---\n');
    const dev = write(
      'bottles/dev.md',
      '---\nextends: base\nallow: [a.test, api.anthropic.com]\nenv: {A: bottle, B: bottle}\nresources: {cpus: 4, pids: 99}\n---\nignored',
    );
    write('agents/demo.md', '---\nbottle: dev\nenv: {A: agent}\nresources: {cpus: 1}\nskills: [x, y, x]\n---\n');
    expect(await plan()).toMatchObject({
      sources: { bottles: [base, dev] },
      bundle: {
        pipelock: { allow: ['api.anthropic.com', 'platform.claude.com', 'a.test'] },
        supervise: { maxPending: 10 },
      },
      daemons: ['pipelock', 'egress', 'supervise'],
      env: { A: 'agent', B: 'bottle' },
      resources: { cpus: 1, memoryMiB: 4096, pids: 99 },
      limits: { lifetimeMs: 28_800_000, idleMs: null },
      skills: ['x', 'y'],
      prompt: { empty: true },
    });
  });

  test('has what was asked for at launch: bottles, a first message, a folder to copy', async () => {
    write('agents/demo.md', '---\nbottle: own\n---\n');
    for (const name of ['own', 'one', 'two']) write(`bottles/${name}.md`, `---\nallow: [${name}.test]\n---\n`);
    expect(await plan({ bottles: ['one', 'two'], prompt: 'Begin.' })).toMatchObject({
      bundle: { pipelock: { allow: ['api.anthropic.com', 'platform.claude.com', 'one.test', 'two.test'] } },
      message: 'Begin.',
      workspace: null,
    });
    const cwd = settings.home;
    expect((await plan({ cwd })).workspace).toBeNull();
    expect((await plan({ cwd, copyCwd: 'all' })).workspace).toEqual({ folder: cwd, gitignore: false });
    expect((await plan({ cwd, copyCwd: 'unignored' })).workspace).toEqual({ folder: cwd, gitignore: true });
  });

  test('is made of an agent of the working folder, where there is none at home', async () => {
    const file = write('work/.bottle/agents/demo.md', '---\nbottle: dev\n---\nTheirs.');
    write('bottles/dev.md', '');
    const cwd = path.join(settings.home, 'work');
    expect((await plan({ cwd })).sources).toEqual({
      agent: file,
      bottles: [path.join(settings.home, 'bottles/dev.md')],
    });
    await expect(plan()).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
  });

  test('tells literal variables from those that come from elsewhere', async () => {
    write('agents/demo.md', '---\nenv: {A: x, B: "${HOST_B}", C: "?Which one", D: "?"}\n---\n');
    expect(await plan({}, { HOST_B: 'a value of the host' })).toMatchObject({
      env: { A: 'x' },
      privateEnv: {
        B: { from: 'host', variable: 'HOST_B' },
        C: { from: 'operator', question: 'Which one' },
        D: { from: 'operator', question: 'D' },
      },
    });
  });

  test('says how a microVM reaches its bundle, as config.yaml or the Engine has it, and nothing of a container', async () => {
    write('bottles/dev.md', '---\ndriver: smolvm\n---\n');
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    const local = process.platform === 'linux' && !process.env['DOCKER_HOST'];
    if (local) expect((await plan()).link).toBe('address');
    write('config.yaml', 'network: {link: sockets}');
    expect((await plan()).link).toBe('sockets');
    expect(await plan({ driver: 'docker' })).not.toHaveProperty('link');
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

  test("has config.yaml's network and limits", async () => {
    write('agents/demo.md', '---\nresources: {memoryMiB: 512}\n---\n');
    write('config.yaml', 'network: {pool: 10.9.0.0/20, uplink: company}\nresources: {cpus: 1, memoryMiB: 2048}');
    expect(await plan()).toMatchObject({
      pool: '10.9.0.0/20',
      uplink: 'company',
      resources: { cpus: 1, memoryMiB: 512, pids: 1024 },
    });
  });

  test('is another when the CA of the network is', async () => {
    write('agents/demo.md', '---\n---\n');
    expect((await plan()).bundle).not.toHaveProperty('caDigest');
    const [one, other] = [testCa(), testCa()];
    try {
      write('corp.pem', one.cert);
      const file = path.join(settings.home, 'corp.pem');
      write('config.yaml', `network: {ca: ${file}}`);
      const before = (await plan()).bundle;
      expect(before).toMatchObject({ ca: file, caDigest: expect.stringMatching(/^[0-9a-f]{16}$/) });
      // What is no certificate is nothing to trust.
      write('corp.pem', `The company's:\n${one.cert.replaceAll('\n', '\r\n')}`);
      expect((await plan()).bundle).toEqual(before);
      write('corp.pem', one.cert + other.cert);
      expect((await plan()).bundle.caDigest).not.toBe(before.caDigest);
    } finally {
      one.dispose();
      other.dispose();
    }
  });

  test.each([
    ['is not there', undefined, 'cannot be read (ENOENT)'],
    ['is binary', '\u0030\u0082', 'holds no certificate in PEM form'],
    [
      'is broken',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'broken certificate, number 1 of 1',
    ],
  ])('cannot be made where the file of network.ca %s, and check says so too', async (_what, content, message) => {
    write('agents/demo.md', '---\n---\n');
    const file = path.join(settings.home, 'corp.pem');
    if (content !== undefined) write('corp.pem', content);
    write('config.yaml', `network: {ca: ${file}}`);
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${path.join(settings.home, 'config.yaml')}: network.ca: ${file} ${message.startsWith('broken') ? 'has a ' : ''}${message}`,
    });
    expect(readConfigProblems(settings)).toMatchObject([
      {
        severity: 'error',
        key: 'network.ca',
        position: { line: 1, column: 15 },
        message: expect.stringContaining(message),
      },
    ]);
  });

  test('has the image, the hosts, and the folder of skills of the agent that is meant', async () => {
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    write('bottles/dev.md', '---\nagent_provider: {template: codex, api_key: K}\n---\n');
    expect(await plan()).toMatchObject({
      images: { guest: 'codex:1' },
      provider: { template: 'codex', credential: 'api_key' },
      bundle: { egress: { routes: [{ id: 'openai' }] }, pipelock: { allow: [] } },
      guest: { skillsDirectory: '/home/agent/.agents/skills' },
    });
  });

  test.each([
    ['/srv/skills', '/srv/skills'],
    ['/srv/../opt/skills/', '/opt/skills'],
    ['', '/home/agent/.claude/skills'],
  ])('puts skills where BOTTLE_GUEST_SKILLS_DIR=%j says', async (value, directory) => {
    write('agents/demo.md', '');
    expect((await plan({}, { BOTTLE_GUEST_SKILLS_DIR: value })).guest.skillsDirectory).toBe(directory);
    write('agents/demo.md', `---\nenv: {BOTTLE_GUEST_SKILLS_DIR: "${value}"}\n---\n`);
    expect((await plan()).guest.skillsDirectory).toBe(directory);
  });

  test.each(['skills', './x', '/', '/..'])('refuses %j as the place of skills', async (value) => {
    write('agents/demo.md', '');
    await expect(plan({}, { BOTTLE_GUEST_SKILLS_DIR: value })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('BOTTLE_GUEST_SKILLS_DIR: expected an absolute path'),
    });
  });

  test('is plain JSON without the prompt, which it knows by a digest', async () => {
    write('agents/demo.md', 'xyzzy');
    const made = await plan();
    expect(JSON.parse(JSON.stringify(made))).toEqual(made);
    expect(JSON.stringify(made)).not.toContain('xyzzy');
    write('agents/demo.md', 'xyzzy!');
    expect((await plan()).prompt.digest).not.toBe(made.prompt.digest);
  });

  test('changes with what is in a skill, and is the same as long as nothing changes', async () => {
    write('agents/demo.md', '---\nskills: [notes]\n---\n');
    const missing = await plan();
    write('skills/notes/SKILL.md', 'one');
    const there = await plan();
    expect(there.skillsDigest).not.toBe(missing.skillsDigest);
    expect(await plan()).toEqual(there);
    write('skills/notes/more.md', 'two');
    expect((await plan()).skillsDigest).not.toBe(there.skillsDigest);
  });
});

describe('the image', () => {
  test('of the person’s own is taken by its tag, the agent’s before the bottle’s', async () => {
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    write('bottles/dev.md', '---\nimage: mine:1\n---\n');
    expect(await plan()).toMatchObject({ images: { guest: 'mine:1' }, dockerfile: null });
    write('agents/demo.md', '---\nbottle: dev\nimage: other:2\n---\n');
    expect((await plan()).images.guest).toBe('other:2');
  });

  test('of a Dockerfile is found from the file that names it, and known by its content', async () => {
    const dockerfile = write('bottles/images/Dockerfile', 'ARG BASE\nFROM $BASE\n');
    write('bottles/base.md', '---\nimage: {dockerfile: images/Dockerfile}\n---\n');
    write('bottles/dev.md', '---\nextends: base\n---\n');
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    const made = await plan();
    expect(made.dockerfile?.file).toBe(dockerfile);
    expect(made.images.guest).toMatch(/^bottleworks\/custom:[0-9a-f]{12}$/);
    expect((await plan()).images.guest).toBe(made.images.guest);
    write('bottles/images/Dockerfile', 'ARG BASE\nFROM $BASE\nRUN true\n');
    expect((await plan()).images.guest).not.toBe(made.images.guest);
  });

  test('of the agent file is found from there', async () => {
    const dockerfile = write('agents/mine.Dockerfile', 'ARG BASE\nFROM $BASE\n');
    write('agents/demo.md', '---\nimage: {dockerfile: ./mine.Dockerfile}\n---\n');
    expect((await plan()).dockerfile?.file).toBe(dockerfile);
  });

  test('in the original’s words is that of agent_provider, unless image says another', async () => {
    const dockerfile = write('bottles/Dockerfile', 'FROM x\n');
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    write('bottles/dev.md', '---\nagent_provider: {dockerfile: Dockerfile}\n---\n');
    expect((await plan()).dockerfile?.file).toBe(dockerfile);
    write('bottles/dev.md', '---\nagent_provider: {dockerfile: Dockerfile}\nimage: mine:1\n---\n');
    expect(await plan()).toMatchObject({ dockerfile: null, images: { guest: 'mine:1' } });
  });

  test('of a Dockerfile that is not there is an error that names it', async () => {
    write('agents/demo.md', '---\nimage: {dockerfile: gone}\n---\n');
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${path.join(settings.home, 'agents/gone')}: there is no such Dockerfile`,
    });
  });
});

describe('a packed machine', () => {
  const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

  test('is found from the file that names it, and known by its content; the Engine is to have no image of it', async () => {
    const file = write('bottles/packs/guest.smolmachine', 'one');
    write('bottles/base.md', '---\ndriver: smolvm\nimage: {smolmachine: ./packs/guest.smolmachine}\n---\n');
    write('bottles/dev.md', '---\nextends: base\n---\n');
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    const made = await plan();
    expect(made).toMatchObject({ driver: 'smolvm', dockerfile: null });
    expect(made.images).toEqual({ guest: `${file}@${digestOf('one')}`, bundle: 'bundle:1' });
    expect(smolmachineOf(made.images.guest)).toEqual({ file, digest: digestOf('one') });
    write('bottles/packs/guest.smolmachine', 'two');
    expect((await plan()).images.guest).toBe(`${file}@${digestOf('two')}`);
  });

  test('may lie in the home folder, and be a link', async () => {
    const there = write('elsewhere.smolmachine', 'x');
    vi.stubEnv('HOME', settings.home);
    symlinkSync(there, path.join(settings.home, 'guest.smolmachine'));
    write('agents/demo.md', '---\ndriver: smolvm\nimage: {smolmachine: ~/guest.smolmachine}\n---\n');
    const { guest } = (await plan()).images;
    vi.unstubAllEnvs();
    expect(smolmachineOf(guest)).toEqual({
      file: path.join(settings.home, 'guest.smolmachine'),
      digest: digestOf('x'),
    });
  });

  test('that was long there is read once, and again when as much was written over it and its time set back', async () => {
    const file = write('guest.smolmachine', 'one');
    truncateSync(file, 256 * 1024 ** 2);
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    const timed = async (): Promise<[digest: string, ms: number]> => {
      const before = performance.now();
      return [await smolmachineDigest(file), performance.now() - before];
    };
    const [[first, readMs], [again, knownMs]] = [await timed(), await timed()];
    expect(again).toBe(first);
    expect(knownMs).toBeLessThan(readMs / 3);
    const { atime, mtime } = statSync(file);
    writeFileSync(file, 'two', { flag: 'r+' });
    utimesSync(file, atime, mtime);
    expect((await timed())[0]).not.toBe(first);
    vi.restoreAllMocks();
  });

  test('that was just written is never taken for what it was before', async () => {
    const file = write('guest.smolmachine', '');
    for (let round = 0; round < 50; round++) {
      writeFileSync(file, String(round).padStart(9));
      expect(await smolmachineDigest(file)).toBe(digestOf(String(round).padStart(9)));
    }
  });

  test.each([
    ['nothing was said', '', '', 'docker (default)'],
    ['config.yaml says so', '', 'driver: docker\n', 'docker (config.yaml)'],
    ['the bottle says so', 'driver: docker\n', 'driver: smolvm\n', 'docker (HOME/bottles/dev.md:2)'],
  ])('is refused with driver docker where %s', async (_why, line, config, driver) => {
    write('config.yaml', config);
    write('bottles/guest.smolmachine', 'x');
    write('bottles/dev.md', `---\n${line}image: {smolmachine: guest.smolmachine}\n---\n`);
    write('agents/demo.md', '---\nbottle: dev\n---\n');
    const place = `${path.join(settings.home, 'bottles/dev.md')}:${line === '' ? 2 : 3}:1`;
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${place}: image.smolmachine: only driver smolvm makes a machine of it, and the driver is ${driver.replace('HOME', settings.home)}`,
      hint: 'write driver: smolvm beside it, or launch with --driver smolvm',
    });
    expect((await plan({ driver: 'smolvm' })).driver).toBe('smolvm');
  });

  test('is refused where the command line asks for docker, whatever the manifest says', async () => {
    write('agents/guest.smolmachine', 'x');
    write('agents/demo.md', '---\ndriver: smolvm\nimage: {smolmachine: guest.smolmachine}\n---\n');
    await expect(plan({ driver: 'docker' })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('demo.md:3:1: image.smolmachine: only driver smolvm'),
    });
    expect((await plan()).driver).toBe('smolvm');
  });

  test('that is not there, or no file, is an error that names it', async () => {
    write('agents/demo.md', '---\ndriver: smolvm\nimage: {smolmachine: gone.smolmachine}\n---\n');
    const file = path.join(settings.home, 'agents/gone.smolmachine');
    const failure = (what: string) => ({
      code: 'IMAGE_MISSING',
      message: `the packed machine ${file} ${what}`,
      hint: expect.stringContaining('smolvm pack create'),
    });
    await expect(plan()).rejects.toMatchObject(failure('is not there'));
    mkdirSync(file);
    await expect(plan()).rejects.toMatchObject(failure('is not a file'));
  });
});

describe('a launch that cannot be', () => {
  test('for want of a file names the file', async () => {
    await expect(plan()).rejects.toMatchObject({
      code: 'AGENT_NOT_FOUND',
      message: `there is no agent demo: ${path.join(settings.home, 'agents/demo.md')} is missing`,
    });
    write('agents/demo.md', '');
    await expect(plan({ bottles: ['dev'] })).rejects.toMatchObject({
      code: 'BOTTLE_FILE_NOT_FOUND',
      message: `there is no bottle file ${path.join(settings.home, 'bottles/dev.md')}`,
    });
  });

  test('for want of the bottle file that the agent names tells both', async () => {
    const file = write('agents/demo.md', '---\nbottle: dev\n---\n');
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${file}:2:9: bottle: there is no bottle file ${path.join(settings.home, 'bottles/dev.md')}`,
    });
  });

  test('for mistakes tells all of them with file, line, column and key', async () => {
    const file = write('agents/demo.md', '---\nskills: x\nextra: 1\n---\n');
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining(
        `${file}:2:9: skills: expected a list of skill names, got text; ${file}:3:1: extra: unknown key`,
      ),
      problems: [expect.stringContaining(':2:9: skills: '), expect.stringContaining(':3:1: extra: ')],
    });
  });

  test('for a wrong config.yaml says so before anything else', async () => {
    write('config.yaml', 'driver: podman');
    await expect(plan()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: expect.stringContaining('config.yaml:1:9: driver: expected docker or smolvm'),
    });
  });
});

test.each([
  ['~/a/b', path.join(os.homedir(), 'a/b')],
  ['/a/~/b', '/a/~/b'],
  ['a', 'a'],
  ['~', '~'],
  ['~me/a', '~me/a'],
])('%s on the host is %s', (written, file) => {
  expect(expandHome(written)).toBe(file);
});
