import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { EGRESS_URL } from '../../src/core/daemons.ts';
import { GUEST } from '../../src/core/plan.ts';
import { claude, CLAUDE_PLACEHOLDER as PLACEHOLDER } from '../../src/core/providers/claude.ts';
import type { ProviderContext } from '../../src/core/providers/provider.ts';
import type { AgentInput, BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { writeBottleState } from '../../src/host/bottle-state.ts';
import { makePlan } from '../../src/host/planning.ts';
import { type ActivitySite, activityEnvironment, activitySite } from '../support/activity-site.ts';
import { sh } from '../support/docker-site.ts';

let site: ActivitySite;
let bottle: BottleRef;
let network: NetworkFacts;
beforeAll(async () => {
  site = await activitySite();
  ({ bottle, network } = await site.ready('provision', { plans: { supervise: { maxPending: 2 } } }));
});
afterAll(() => site?.dispose());

const inside = (script: string, options: Parameters<typeof sh>[3] = {}) => sh(site.driver, bottle.id, script, options);

async function keepPrompt(prompt: string): Promise<void> {
  site.write('agents/demo.md', prompt);
  const { plan } = await makePlan({ settings: site.settings, launch: { agent: 'demo' }, env: {} });
  await writeBottleState(site.settings, bottle.id, { plan, prompt, launch: { agent: 'demo' } });
}

describe('provision.prompt', () => {
  const provision = () => site.step('provision.prompt', { bottle, driver: 'docker', digest: '' });
  const stat = async (): Promise<string> =>
    (await inside(`stat -c '%a %U %s' ${GUEST.promptFile} ${path.dirname(GUEST.promptFile)}`)).stdout;

  test('copies the prompt, for the agent alone', async () => {
    await keepPrompt('Be kind.\nAnd brief: ünï 🍾\n');
    await provision();
    expect((await inside(`cat ${GUEST.promptFile}`)).stdout).toBe('Be kind.\nAnd brief: ünï 🍾\n');
    expect(await stat()).toMatch(/^600 agent 31\n755 agent /);
  });

  test('copies a prompt that is empty, over one that was not', async () => {
    await keepPrompt('');
    await provision();
    await provision();
    expect(await stat()).toMatch(/^600 agent 0\n/);
  });

  test('of a bottle whose state is gone says so, for a person to decide', async () => {
    const { id, runId } = site.bottle();
    await expect(
      site.step('provision.prompt', { bottle: { id, runId }, driver: 'docker', digest: '' }),
    ).rejects.toMatchObject({
      type: 'STATE_MISSING',
      nonRetryable: true,
    });
  });
});

describe('provision.skills', () => {
  const directory = claude.skillsDirectory;
  const provision = (skills: string[], target: string = directory) =>
    site.step('provision.skills', { bottle, driver: 'docker', skills, digest: '', directory: target });
  const skill = (name: string): string => path.join(site.settings.home, 'skills', name);
  /** Every path below the skills' folder with type, mode, owner and link target. */
  const tree = async (target: string = directory): Promise<string[]> =>
    (await inside(`cd ${target} && find . -mindepth 1 -printf '%P %y %m %u\\n' | sort`)).stdout.trim().split('\n');

  afterEach(async () => {
    rmSync(path.join(site.settings.home, 'skills'), { recursive: true, force: true });
    await inside(`chmod -R u+rwX ${directory}; rm -rf ${directory} /home/agent/elsewhere`);
  });

  test('copies whole folders: nested, hidden, empty and executable things included', async () => {
    site.write('skills/review/SKILL.md', '# Review\n');
    site.write('skills/review/.hidden/deep/er/note.txt', 'deep');
    site.write('skills/review/bin/run.sh', '#!/bin/sh\necho ran', 0o700);
    site.write('skills/review/données 🍾.bin', Buffer.from([0, 255, 10, 13]));
    mkdirSync(path.join(skill('review'), 'empty'));
    site.write('skills/second/SKILL.md', 'second', 0o600);
    await provision(['review', 'second']);
    expect(await tree()).toEqual([
      'review d 755 agent',
      'review/.hidden d 755 agent',
      'review/.hidden/deep d 755 agent',
      'review/.hidden/deep/er d 755 agent',
      'review/.hidden/deep/er/note.txt f 644 agent',
      'review/SKILL.md f 644 agent',
      'review/bin d 755 agent',
      'review/bin/run.sh f 755 agent',
      'review/données 🍾.bin f 644 agent',
      'review/empty d 755 agent',
      'second d 755 agent',
      'second/SKILL.md f 644 agent',
    ]);
    expect((await inside(`${directory}/review/bin/run.sh; od -An -tu1 ${directory}/review/donn*`)).stdout).toBe(
      'ran\n   0 255  10  13\n',
    );
  });

  test("replaces what is there: an older version's files vanish, other skills stay", async () => {
    site.write('skills/review/SKILL.md', 'one');
    site.write('skills/review/old.md', 'old');
    site.write('skills/other/SKILL.md', 'other');
    await provision(['review', 'other']);
    rmSync(path.join(skill('review'), 'old.md'));
    site.write('skills/review/SKILL.md', 'two');
    await provision(['review']);
    await provision(['review']);
    expect((await tree()).filter((line) => line.includes(' f '))).toEqual([
      'other/SKILL.md f 644 agent',
      'review/SKILL.md f 644 agent',
    ]);
    expect((await inside(`cat ${directory}/review/SKILL.md`)).stdout).toBe('two');
  });

  test('replaces a skill that the agent has locked, or turned into a link', async () => {
    site.write('skills/locked/sub/SKILL.md', 'new');
    site.write('skills/linked/SKILL.md', 'new');
    await inside(`mkdir -p ${directory}/locked/sub && touch ${directory}/locked/sub/old && chmod -R a-w ${directory}/locked
      mkdir -p elsewhere && touch elsewhere/mine && ln -s $PWD/elsewhere ${directory}/linked`);
    await provision(['locked', 'linked']);
    expect((await tree()).filter((line) => line.includes(' f '))).toEqual([
      'linked/SKILL.md f 644 agent',
      'locked/sub/SKILL.md f 644 agent',
    ]);
    expect((await inside('ls elsewhere')).stdout).toBe('mine\n');
  });

  test('after a run that was killed half-way brings the new version and nothing else', async () => {
    site.write('skills/review/SKILL.md', 'new');
    // What three kinds of killed runs leave: uploaded, half uploaded, and between the two moves.
    await inside(`mkdir -p ${directory} && cd ${directory} &&
      mkdir -p .bottle-incoming/review .bottle-incoming-1234/review .bottle-outgoing &&
      touch .bottle-incoming/review/stale .bottle-incoming-1234/review/stale .bottle-outgoing/older`);
    await provision(['review']);
    expect(await tree()).toEqual(['review d 755 agent', 'review/SKILL.md f 644 agent']);
  });

  test('makes files of links inside, of folders too, and refuses a link that leads out', async () => {
    site.write('skills/links/real/file.md', 'content');
    site.write('skills/secret.txt', 'outside');
    symlinkSync('real/file.md', path.join(skill('links'), 'alias.md'));
    symlinkSync('real', path.join(skill('links'), 'folder'));
    await provision(['links']);
    expect((await tree()).filter((line) => !line.includes(' d '))).toEqual([
      'links/alias.md f 644 agent',
      'links/folder/file.md f 644 agent',
      'links/real/file.md f 644 agent',
    ]);
    symlinkSync('../secret.txt', path.join(skill('links'), 'out'));
    await expect(provision(['links'])).rejects.toMatchObject({
      type: 'PROVISION_FAILED',
      nonRetryable: true,
      message: 'skill links: out is a link that leads out of the skill',
    });
  });

  test('goes where the manifest or the host says instead', async () => {
    site.write('skills/review/SKILL.md', 'here');
    site.write(
      'agents/demo.md',
      '---\nskills: [review]\nenv: {BOTTLE_GUEST_SKILLS_DIR: /home/agent/elsewhere/deep}\n---\n',
    );
    const planOf = async (env: NodeJS.ProcessEnv) =>
      (await makePlan({ settings: site.settings, launch: { agent: 'demo' }, env })).plan.guest.skillsDirectory;
    const byManifest = await planOf({ BOTTLE_GUEST_SKILLS_DIR: '/ignored' });
    site.write('agents/demo.md', '---\nskills: [review]\n---\n');
    const byHost = await planOf({ BOTTLE_GUEST_SKILLS_DIR: '/home/agent/elsewhere/host' });
    for (const target of [byManifest, byHost]) await provision(['review'], target);
    expect(await tree('/home/agent/elsewhere')).toEqual([
      'deep d 755 agent',
      'deep/review d 755 agent',
      'deep/review/SKILL.md f 644 agent',
      'host d 755 agent',
      'host/review d 755 agent',
      'host/review/SKILL.md f 644 agent',
    ]);
  });

  test("a folder outside the agent's home becomes the agent's", async () => {
    site.write('skills/review/SKILL.md', 'here');
    await provision(['review'], '/opt/skills');
    expect(await tree('/opt/skills')).toEqual(['review d 755 agent', 'review/SKILL.md f 644 agent']);
  });

  test('that are missing are an error for a person, naming all of them and every path, before anything is copied', async () => {
    site.write('skills/review/SKILL.md', 'here');
    const looked = ['no-such', 'nor-this'].flatMap((name) => [
      path.join(site.settings.home, 'skills', name),
      path.join(os.homedir(), '.claude', 'skills', name),
    ]);
    await expect(provision(['review', 'no-such', 'nor-this'])).rejects.toMatchObject({
      type: 'SKILL_NOT_FOUND',
      nonRetryable: true,
      message: `there are no skills "no-such", "nor-this": looked at ${looked.join(' and ')}`,
    });
    expect((await inside(`ls ${directory}`)).exitCode).not.toBe(0);
  });

  test('of which there are none leave no trace', async () => {
    await provision([]);
    expect((await inside(`ls ${directory}`)).exitCode).not.toBe(0);
  });
});

describe('provision.git', () => {
  const REPOS = [
    { name: 'app', upstream: 'https://git.example.com/team/app.git' },
    { name: 'tools', upstream: 'ssh://git@git.example.com:2222/team/tools' },
    { name: 'port', upstream: 'https://git.example.com:8443/team/port' },
  ];
  const USER = { name: 'Agent "A" \\ #1', email: 'agent@example.com' };
  const provision = (repos = REPOS, user: { name?: string; email?: string } = USER) =>
    site.step('provision.git', { bottle, driver: 'docker', network, repos, user });
  const gate = (name: string): string => `http://${network.bundleIp}:9418/${name}.git`;
  /** Where git would go for each address, asked for as the agent. */
  const led = async (addresses: readonly string[]): Promise<string[]> =>
    (
      await inside(
        `for each in ${addresses.map((address) => `'${address}'`).join(' ')}; do git ls-remote --get-url "$each"; done`,
      )
    ).stdout
      .trim()
      .split('\n');

  beforeAll(() => provision().then(() => provision()));

  test.each([
    [
      'app',
      [
        'https://git.example.com/team/app.git',
        'https://git.example.com/team/app',
        'ssh://git@git.example.com/team/app.git',
        'ssh://git@git.example.com/team/app',
        'ssh://git.example.com/team/app.git',
        'git@git.example.com:team/app.git',
        'git@git.example.com:team/app',
      ],
    ],
    [
      'tools',
      [
        'ssh://git@git.example.com:2222/team/tools',
        'ssh://git@git.example.com:2222/team/tools.git',
        'ssh://git.example.com:2222/team/tools.git',
        'https://git.example.com/team/tools',
        'https://git.example.com/team/tools.git',
      ],
    ],
    [
      'port',
      [
        'https://git.example.com:8443/team/port',
        'https://git.example.com:8443/team/port.git',
        'git@git.example.com:team/port.git',
      ],
    ],
  ])('leads every way to write the address of %s to the gate', async (name, addresses) => {
    expect(await led(addresses)).toEqual(addresses.map(() => gate(name)));
  });

  test('leaves other repositories where they are', async () => {
    const others = [
      'https://git.example.com/team/other.git',
      'https://example.org/team/app.git',
      'git@git.example.com:app.git',
      './app',
    ];
    expect(await led(others)).toEqual(others);
  });

  test('leads to a gate that is there: git gets its answer from it, past the proxy', async () => {
    const { exitCode, stderr } = await inside(
      'GIT_TRACE_CURL=1 GIT_TERMINAL_PROMPT=0 git ls-remote https://git.example.com/team/app',
    );
    expect(exitCode).not.toBe(0);
    // This bundle has no gate: refused by the bundle itself, not by its proxy.
    expect(stderr).toMatch(new RegExp(`${network.bundleIp.replaceAll('.', '\\.')}:? port 9418|${gate('app')}`));
    expect(stderr).not.toMatch(/:8888|via proxy/i);
  });

  test('says who commits', async () => {
    const { stdout, stderr } = await inside(
      'cd "$(mktemp -d)" && git init -q && git commit -q --allow-empty -m one && git log --format="%an|%ae|%cn|%ce" && git symbolic-ref HEAD',
    );
    expect(stderr).toBe('');
    expect(stdout).toBe(`${USER.name}|${USER.email}|${USER.name}|${USER.email}\nrefs/heads/main\n`);
  });

  test('sets defaults that are safe for one who is alone', async () => {
    const { stdout } = await inside(
      'git config --get-regexp "^(init.defaultbranch|push.autosetupremote|transfer.fsckobjects)$"',
    );
    expect(stdout).toBe('init.defaultbranch main\npush.autosetupremote true\ntransfer.fsckobjects true\n');
  });

  test("is no file of the agent's own, and what the agent sets for itself wins", async () => {
    expect(
      (await inside(`stat -c '%a %U' ${GUEST.gitConfigFile}; ls -a ~/.gitconfig ~/.config/git 2>/dev/null`)).stdout,
    ).toBe('644 agent\n');
    await inside('git config --global user.name Myself');
    await provision();
    expect((await inside('git config user.name; git config user.email; rm ~/.gitconfig')).stdout).toBe(
      `Myself\n${USER.email}\n`,
    );
  });

  test('again, with other repositories and another user, leaves nothing of what was before', async () => {
    await provision([{ name: 'new', upstream: 'https://git.example.com/team/new.git' }], {
      email: 'other@example.com',
    });
    expect(await led(['https://git.example.com/team/new', 'https://git.example.com/team/app'])).toEqual([
      gate('new'),
      'https://git.example.com/team/app',
    ]);
    expect((await inside('git config user.name; git config user.email')).stdout).toBe('other@example.com\n');
    await provision([], {});
    expect((await inside('git config --get-regexp "^(url|user)"')).stdout).toBe('');
    expect((await inside('git config init.defaultBranch')).stdout).toBe('main\n');
    await provision();
    expect(await led(['git@git.example.com:team/app.git'])).toEqual([gate('app')]);
  });
});

describe('provision.supervise', () => {
  const provision = (url: string | null) => site.step('provision.supervise', { bottle, driver: 'docker', url });
  const url = (): string => `http://${network.bundleIp}:9100/mcp`;

  test('where there is none leaves nothing', async () => {
    await provision(null);
    expect((await inside(`ls ${GUEST.mcpFile}`)).exitCode).not.toBe(0);
  });

  test('writes the file that an agent is started with, as it is now, any number of times', async () => {
    await provision('http://10.0.0.1:9100/mcp');
    await provision(url());
    await provision(url());
    expect((await inside(`stat -c '%a %U' ${GUEST.mcpFile}`)).stdout).toBe('644 agent\n');
    expect(JSON.parse((await inside(`cat ${GUEST.mcpFile}`)).stdout)).toEqual({
      mcpServers: { supervise: { type: 'http', url: url() } },
    });
  });
});

describe('provision.agent', () => {
  /** What a person would see within some seconds, without the terminal's own codes. */
  async function screen(argv: string[], env: Record<string, string>, until: RegExp): Promise<string> {
    const stdout = new PassThrough();
    const controller = new AbortController();
    let seen = '';
    stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
    });
    const plain = (): string => stripVTControlCharacters(seen);
    const ended = site.driver
      .exec(bottle.id, {
        argv,
        env,
        stdin: new PassThrough(),
        stdout,
        stderr: stdout,
        terminal: { columns: 120, rows: 40 },
        signal: controller.signal,
      })
      .catch(() => undefined);
    await expect.poll(plain, { interval: 200 }).toMatch(until);
    controller.abort();
    await ended;
    return plain();
  }

  /** Where an agent with a placeholder finds its model. */
  const MODEL = { ANTHROPIC_BASE_URL: `${EGRESS_URL}/anthropic` };

  // A screen's words may be put in place by cursor moves, which leave no blank between them.
  const QUESTION =
    /trust|Select\s*login|Choose\s*the\s*text\s*style|Do\s*you\s*want|Bypass\s*Permissions\s*mode|Yes,\s*I\s*accept|Unable\s*to\s*connect/i;

  beforeAll(async () => {
    await provision(withModel());
    await provision(withModel());
  });

  const ALONE: ProviderContext = {
    modelUrl: null,
    credential: null,
    superviseUrl: null,
    promptEmpty: true,
    caBundle: null,
  };
  const withModel = (): ProviderContext => ({
    ...ALONE,
    modelUrl: MODEL.ANTHROPIC_BASE_URL,
    credential: 'api_key',
    superviseUrl: `http://${network.bundleIp}:9100/mcp`,
  });
  const provision = (context: ProviderContext, more: Partial<AgentInput> = {}) =>
    site.step('provision.agent', {
      bottle,
      driver: 'docker',
      template: 'claude',
      context,
      privateEnv: {},
      message: null,
      ...more,
    });

  test('leaves the seeds to the agent alone, and no key in them but the last characters of the placeholder', async () => {
    const { stdout } = await inside('stat -c "%a %U %n" .claude.json .claude/settings.json; cat .claude.json', {
      workdir: GUEST.home,
    });
    expect(stdout).toMatch(/^600 agent .claude.json\n600 agent .claude\/settings.json\n/);
    expect(JSON.parse(stdout.slice(stdout.indexOf('{')))).toMatchObject({
      hasCompletedOnboarding: true,
      customApiKeyResponses: { approved: ['r-injected-by-egress'] },
      mcpServers: { supervise: { type: 'http', url: `http://${network.bundleIp}:9100/mcp` } },
    });
    expect(stdout).not.toContain(PLACEHOLDER.api_key);
  });

  test('connects the agent to its supervise, without a question', async () => {
    const { stdout } = await inside('timeout 60 claude mcp list');
    expect(stdout).toMatch(new RegExp(`supervise: http://${network.bundleIp}:9100/mcp.*Connected`));
  });

  test('lets `claude -p` start without a question: without a login it says so and ends', async () => {
    const { exitCode, stdout, stderr } = await inside('timeout 60 claude -p "say hi"');
    expect([exitCode, stderr]).toEqual([1, '']);
    expect(stdout).toMatch(/not logged in|connect/i);
    expect(stdout).not.toMatch(QUESTION);
  });

  test.each([
    ['as it is', ['claude'], {}],
    ['without asking for permissions', ['claude', '--dangerously-skip-permissions'], {}],
    ['with the placeholder of a key', ['claude'], { ...MODEL, ANTHROPIC_API_KEY: PLACEHOLDER.api_key }],
    ['with the placeholder of a token', ['claude'], { ...MODEL, CLAUDE_CODE_OAUTH_TOKEN: PLACEHOLDER.auth_token }],
  ])('lets an interactive session start at its prompt, %s', async (_how, argv, env) => {
    const seen = await screen(argv, env, /~\/workspace[\s\S]*❯/);
    expect(seen).not.toMatch(QUESTION);
  });

  test('is what makes the difference: in an empty home the agent has questions', async () => {
    await inside('mkdir -p /tmp/empty');
    const seen = await screen(['claude'], { HOME: '/tmp/empty' }, QUESTION);
    expect(seen).not.toMatch(/auto\s*mode\s*on|bypass\s*permissions\s*on/);
  });

  test('where there is no key and no supervise says nothing of either', async () => {
    await provision(ALONE);
    const seeds = JSON.parse((await inside('cat ~/.claude.json')).stdout) as object;
    expect(Object.keys(seeds)).not.toContain('customApiKeyResponses');
    expect(Object.keys(seeds)).not.toContain('mcpServers');
  });

  test('keeps variables of the host and the first message to the agent, whatever is in them', async () => {
    const value = `a 'quoted' "value" $HOME \\ and\na second line`;
    process.env['BOTTLE_TEST_VALUE'] = value;
    const privateEnv = { SEEN: { from: 'host', variable: 'BOTTLE_TEST_VALUE' } } as const;
    await provision(ALONE, { privateEnv, message: 'Say hello.' });
    await provision(ALONE, { privateEnv, message: 'Say hello.' });
    delete process.env['BOTTLE_TEST_VALUE'];
    expect((await inside(`${GUEST.withEnvFile} printenv SEEN; cat ${GUEST.messageFile}`)).stdout).toBe(
      `${value}\nSay hello.`,
    );
    expect((await inside(`stat -c '%a %U' ${GUEST.privateEnvFile} ${GUEST.messageFile}`)).stdout).toBe(
      '600 agent\n600 agent\n',
    );
    await expect(provision(ALONE, { privateEnv })).rejects.toMatchObject({
      type: 'ENV_MISSING',
      message: 'no value for SEEN (the host has no BOTTLE_TEST_VALUE)',
    });
  });

  test('gives the way out to every process', async () => {
    const proxy = `http://${network.bundleIp}:8888`;
    expect((await inside('echo $HTTPS_PROXY $https_proxy $HTTP_PROXY $http_proxy')).stdout.trim().split(' ')).toEqual(
      Array(4).fill(proxy),
    );
  });
});

describe('a provisioner that is broken off at any moment', () => {
  const files = (text: string): [string, Parameters<typeof site.step>[0], object, string][] => [
    ['prompt', 'provision.prompt', { digest: '' }, `cat ${GUEST.promptFile}`],
    [
      'skills',
      'provision.skills',
      { skills: ['cut'], digest: '', directory: claude.skillsDirectory },
      'cat ~/.claude/skills/cut/SKILL.md',
    ],
    ['git', 'provision.git', { network, repos: [], user: { name: text } }, 'git config --system user.name'],
    ['supervise', 'provision.supervise', { url: `http://${text}/mcp` }, `grep -o '${text}' ${GUEST.mcpFile}`],
    [
      'agent',
      'provision.agent',
      {
        template: 'claude',
        context: {
          modelUrl: null,
          credential: null,
          superviseUrl: `http://${text}`,
          promptEmpty: true,
          caBundle: null,
        },
        privateEnv: {},
        message: null,
      },
      `grep -o '${text}' ~/.claude.json`,
    ],
  ];

  test.each([0, 1, 2, 3, 4])('does all of its work when it runs again (%i)', async (at) => {
    for (const [round, delay] of [1, 4, 12, 25, 50].entries()) {
      const text = `round-${round}`;
      const [what, name, input, look] = files(text)[at] as ReturnType<typeof files>[number];
      await keepPrompt(text);
      site.write('skills/cut/SKILL.md', text);
      const environment = activityEnvironment();
      const step = () => site.step(name, { bottle, driver: 'docker', ...input } as never);
      const cut = site.step(name, { bottle, driver: 'docker', ...input } as never, environment);
      setTimeout(() => environment.cancel(), delay);
      await cut.catch(() => undefined);
      await step();
      expect((await inside(look)).stdout.trim(), `${what}, ${delay} ms`).toBe(text);
    }
  });
});
