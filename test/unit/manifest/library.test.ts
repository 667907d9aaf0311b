/** Agents and bottles as files that name each other: which are found, what they make together, what is refused. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { merged, originsOf, placeText } from '../../../src/core/manifest/merge.ts';
import { problemText } from '../../../src/core/manifest/problems.ts';
import {
  agentFiles,
  bottleFiles,
  inspectBottle,
  inspectManifest,
  type ManifestRequest,
  resolveManifest,
  strayFiles,
} from '../../../src/host/manifest/library.ts';
import { writeFiles } from '../../support/txtar.ts';

let root: string;
let home: string;
/** Somebody's repository. */
let folder: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'bottle-library-')));
  home = path.join(root, 'home');
  folder = path.join(root, 'work');
  mkdirSync(home);
  mkdirSync(folder);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const matter = (yaml: string, body = '') => `---\n${yaml}\n---\n${body}`;
/** Files of BOTTLE_HOME: `a` is bottles/a.md. */
function bottles(files: Record<string, string>): void {
  writeFiles(
    home,
    Object.entries(files).map(([name, yaml]) => [`bottles/${name}.md`, matter(yaml)]),
  );
}
const agent = (yaml: string, body = '', at = home) => writeFiles(at, [['agents/demo.md', matter(yaml, body)]]);
const request = (change: Partial<ManifestRequest> = {}): ManifestRequest => ({
  settings: { home },
  agent: 'demo',
  ...change,
});
const resolve = (change: Partial<ManifestRequest> = {}) => resolveManifest(request(change));
const bottleOf = async (change: Partial<ManifestRequest> = {}) => merged((await resolve(change)).layer);
const short = (text: string): string => text.replaceAll(`${home}/`, '').replaceAll(`${folder}/`, 'work/');
const said = async (change: Partial<ManifestRequest> = {}): Promise<string[]> =>
  (await inspectManifest(request(change))).problems.map((problem) => short(problemText(problem)));

describe('a bottle that extends others', () => {
  test('is made of all of them, those that are extended first', async () => {
    agent('bottle: demo');
    bottles({
      base: 'env: {A: base, B: base, C: base}\nallow: [base.test]\nsupervise: true',
      team: 'extends: base\nenv: {B: team, C: team}',
      demo: 'extends: team\nenv: {C: demo}',
    });
    const manifest = await resolve();
    expect(merged(manifest.layer)).toEqual({
      env: { A: 'base', B: 'team', C: 'demo' },
      allow: ['base.test'],
      supervise: true,
    });
    expect(manifest.bottles).toEqual(
      ['base', 'team', 'demo'].map((name) => ({ name, file: path.join(home, 'bottles', `${name}.md`) })),
    );
  });

  test('folds several parents from left to right, and wins over all', async () => {
    agent('bottle: demo');
    bottles({
      a: 'env: {X: a, Y: a, Z: a}\negress: {routes: [{host: a.test}]}\nallow: [a.test]',
      b: 'env: {Y: b, Z: b}\negress: {routes: [{host: b.test}]}\nallow: [b.test]',
      demo: 'extends: [a, b]\nenv: {Z: demo}',
    });
    expect(await bottleOf()).toEqual({
      env: { X: 'a', Y: 'b', Z: 'demo' },
      egress: { routes: [{ host: 'a.test' }, { host: 'b.test' }] },
      allow: ['a.test', 'b.test'],
    });
  });

  test('reads a parent that is reached twice once', async () => {
    agent('bottle: demo');
    bottles({
      top: 'egress: {routes: [{host: top.test}]}\nallow: [top.test]',
      left: 'extends: top\nenv: {L: l}',
      right: 'extends: top\nenv: {R: r}',
      demo: 'extends: [left, right]',
    });
    const manifest = await resolve();
    expect(manifest.bottles.map(({ name }) => name)).toEqual(['top', 'left', 'right', 'demo']);
    expect(merged(manifest.layer)).toEqual({
      env: { L: 'l', R: 'r' },
      egress: { routes: [{ host: 'top.test' }] },
      allow: ['top.test'],
    });
  });

  test('may extend nothing', async () => {
    agent('bottle: demo');
    bottles({ demo: 'extends: []\nenv: {A: x}' });
    expect(await bottleOf()).toEqual({ env: { A: 'x' } });
  });

  test('knows the file and line of every value', async () => {
    agent('bottle: demo\nenv:\n  C: agent');
    bottles({ base: 'env: {A: base}\n\nallow:\n  - base.test', demo: 'extends: base\nenv:\n  B: demo' });
    const { layer } = await resolve();
    const origins = originsOf(layer).map(({ path: at, origin }) => `${pathText(at)} ${short(placeText(origin))}`);
    expect(origins).toEqual([
      'env.A bottles/base.md:2',
      'env.B bottles/demo.md:4',
      'env.C agents/demo.md:4',
      'allow[0] bottles/base.md:5',
    ]);
  });

  test.each<[string, Record<string, string>, string[]]>([
    [
      'itself',
      { demo: 'env: {A: x}\nextends: demo' },
      ['bottles/demo.md:3:10: extends: a bottle cannot extend itself: demo -> demo'],
    ],
    [
      'in a ring',
      { demo: 'extends: a', a: 'extends: [b]', b: 'extends: a' },
      ['bottles/b.md:2:10: extends: a bottle cannot extend itself: a -> b -> a'],
    ],
    [
      'what is not there, with what is like it',
      { demo: 'extends: [base, bsae]', base: '' },
      ['bottles/demo.md:2:17: extends[1]: there is no bottle file bottles/bsae.md; did you mean base?'],
    ],
    [
      'what is not there, twice',
      { demo: 'extends: [a, b]', a: 'extends: gone', b: 'extends: gone' },
      [
        'bottles/a.md:2:10: extends: there is no bottle file bottles/gone.md',
        'bottles/b.md:2:10: extends: there is no bottle file bottles/gone.md',
      ],
    ],
    [
      'broken ones: every problem of each',
      { demo: 'extends: [a, b]\nsupervise: 7', a: 'allow: [7]', b: 'extends: a\nenv: []' },
      [
        'bottles/demo.md:3:12: supervise: expected true or false, got a number',
        'bottles/a.md:2:9: allow[0]: expected a host name, got a number',
        'bottles/b.md:3:6: env: expected NAME: value pairs, got a list',
      ],
    ],
  ])('refuses %s', async (_what, files, problems) => {
    agent('bottle: demo');
    bottles(files);
    expect(await said()).toEqual(problems);
  });

  test('may be twenty deep, and no deeper', async () => {
    agent('bottle: b0');
    const chain = (length: number) =>
      Object.fromEntries(
        Array.from({ length }, (_, at) => [`b${at}`, at === length - 1 ? 'env: {A: x}' : `extends: b${at + 1}`]),
      );
    bottles(chain(21));
    expect(await bottleOf()).toEqual({ env: { A: 'x' } });
    bottles(chain(23));
    expect(await said()).toEqual([expect.stringContaining('more than 20 bottles extend each other')]);
  });

  test('that is wide and deep is read in no time: each file once', async () => {
    agent('bottle: b0');
    const width = 12;
    bottles(
      Object.fromEntries(
        Array.from({ length: 20 }, (_, at) => [
          `b${at}`,
          at === 19
            ? 'env: {A: x}'
            : `extends: [${Array(width)
                .fill(`b${at + 1}`)
                .join(', ')}]`,
        ]),
      ),
    );
    const before = performance.now();
    expect(await bottleOf()).toEqual({ env: { A: 'x' } });
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

describe('an agent', () => {
  test('needs no bottle', async () => {
    agent('skills: [x]', 'Be kind.\n');
    const manifest = await resolve();
    expect(manifest.agent).toEqual({
      name: 'demo',
      file: path.join(home, 'agents/demo.md'),
      manifest: { skills: ['x'] },
      prompt: 'Be kind.',
    });
    expect([manifest.bottles, merged(manifest.layer), manifest.notes]).toEqual([[], {}, []]);
  });

  test('whose bottle file is not there is told at its own place, with what is like it', async () => {
    agent('skills: []\nbottle: taem');
    bottles({ team: '' });
    expect(await said()).toEqual([
      'agents/demo.md:3:9: bottle: there is no bottle file bottles/taem.md; did you mean team?',
    ]);
  });

  test('with mistakes is told all of them, and those of its bottle with them', async () => {
    agent('skills: x\nbottle: dev\nextra: 1');
    bottles({ dev: 'supervise: 7' });
    expect(await said()).toEqual([
      'agents/demo.md:2:9: skills: expected a list of skill names, got text',
      'agents/demo.md:4:1: extra: unknown key (known: bottle, skills, git-gate, env, driver, image, resources, name, description, model, color, memory)',
      'bottles/dev.md:2:12: supervise: expected true or false, got a number',
    ]);
  });

  test('whose file is broken is told where, and what is right is not looked at', async () => {
    writeFiles(home, [['agents/demo.md', '---\nbottle: [\n---\n']]);
    expect(await said()).toEqual([expect.stringMatching(/^agents\/demo\.md:\d:\d+: is not YAML: /)]);
    await expect(resolve()).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      hint: 'see what is right and wrong: bottle check demo',
    });
  });

  test('has the notes of its bottles, which stop nothing', async () => {
    agent('bottle: dev');
    bottles({ base: 'egress: {log: full}', dev: 'extends: base' });
    expect(await said()).toEqual([expect.stringMatching(/^bottles\/base\.md:2:10: egress\.log: read, not followed/)]);
    expect((await resolve()).notes).toHaveLength(1);
  });

  test('is told of two routes to one host with both places', async () => {
    agent('bottle: dev');
    bottles({
      a: 'egress: {routes: [{host: a.test}]}',
      b: 'egress:\n  routes:\n    - host: x.test\n    - host: A.test\n      private: true',
      dev: 'extends: [a, b]',
    });
    expect(await said()).toEqual([
      'bottles/b.md:5:7: egress.routes[2].host: expected one route a host: a.test has another at bottles/a.md:2',
    ]);
  });

  test.each([
    ['claude', 'anthropic', 'openai'],
    ['codex', 'openai', 'anthropic'],
  ])("of %s has no route that is called like its model's: %s", async (template, taken, free) => {
    agent('bottle: dev');
    bottles({ dev: `agent_provider: {template: ${template}}\negress: {routes: [{host: ${taken}}, {host: ${free}}]}` });
    expect(await said()).toEqual([
      `bottles/dev.md:3:19: egress.routes[0].host: expected another host: ${taken} is the name of the model's route (agent_provider)`,
    ]);
  });
});

describe('bottles that are named at launch', () => {
  beforeEach(() => {
    agent('bottle: own\nenv: {A: agent}');
    bottles({
      own: 'env: {A: own, B: own}\nallow: [own.test]',
      one: 'env: {A: one, C: one, D: one}\nallow: [one.test]\nsupervise: true',
      two: 'env: {D: two}\nallow: [two.test]\nsupervise: false',
      broken: 'supervise: 7',
    });
  });

  test("stand in the place of the agent's own, beside each other, the later one wins", async () => {
    const named = await resolve({ bottles: ['one', 'two'] });
    expect(merged(named.layer)).toEqual({
      env: { A: 'agent', C: 'one', D: 'two' },
      allow: ['one.test', 'two.test'],
      supervise: false,
    });
    expect(named.bottles.map(({ name }) => name)).toEqual(['one', 'two']);
    expect((await bottleOf({ bottles: ['two', 'one'] })).env).toEqual({ A: 'agent', C: 'one', D: 'one' });
  });

  test('may be one twice, or one and what it extends', async () => {
    bottles({ child: 'extends: one\nenv: {E: child}' });
    expect(await bottleOf({ bottles: ['one', 'one'] })).toEqual(await bottleOf({ bottles: ['one'] }));
    const both = await resolve({ bottles: ['one', 'child'] });
    expect(both.bottles.map(({ name }) => name)).toEqual(['one', 'child']);
    expect(merged(both.layer).allow).toEqual(['one.test']);
  });

  test("leave the agent's own unread: it may even be broken", async () => {
    agent('bottle: broken');
    expect(await said({ bottles: ['one'] })).toEqual([]);
    expect(await said()).toHaveLength(1);
  });

  test('none means the agent’s own', async () => {
    expect((await bottleOf({ bottles: [] })).allow).toEqual(['own.test']);
  });

  test.each([
    ['tow', 'bottles/tow.md', 'bottle files here: broken, one, own, two'],
    ['broke', 'bottles/broke.md', 'did you mean broken?'],
    ['One', 'bottles/One.md', 'did you mean one?'],
    ['../agents/demo', 'agents/demo.md', 'bottle files here: broken, one, own, two'],
    ['', 'bottles/.md', 'bottle files here: broken, one, own, two'],
    ['x'.repeat(200), `bottles/${'x'.repeat(60)}.md`, 'bottle files here: broken, one, own, two'],
  ])('that are not there are an error of their own: %j', async (name, file, hint) => {
    await expect(resolve({ bottles: ['one', name] })).rejects.toMatchObject({
      code: 'BOTTLE_FILE_NOT_FOUND',
      message: `there is no bottle file ${path.join(home, file)}`,
      hint,
    });
  });
});

describe('agents of a repository', () => {
  const theirs = (yaml: string, body = 'Theirs.', kind = '.bottle') => agent(yaml, body, path.join(folder, kind));

  test.each(['.bottle', '.bot-bottle'])('in %s are found, in the bottles of BOTTLE_HOME', async (kind) => {
    theirs('bottle: dev', 'Theirs.', kind);
    bottles({ dev: 'allow: [dev.test]' });
    const manifest = await resolve({ folder });
    expect(manifest.agent).toMatchObject({ file: path.join(folder, kind, 'agents/demo.md'), prompt: 'Theirs.' });
    expect(merged(manifest.layer)).toEqual({ allow: ['dev.test'] });
  });

  test("are not looked for where the person's own has that name, nor without a folder", async () => {
    theirs('', 'Theirs.', '.bot-bottle');
    await expect(resolve()).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' });
    theirs('', 'Ours, newer.');
    expect((await resolve({ folder })).agent.prompt).toBe('Ours, newer.');
    agent('', 'Mine.');
    expect((await resolve({ folder })).agent.prompt).toBe('Mine.');
  });

  test('that are broken do not stand aside for a second one', async () => {
    theirs('skills: 7');
    theirs('', 'Second.', '.bot-bottle');
    expect(await said({ folder })).toEqual([
      'work/.bottle/agents/demo.md:2:9: skills: expected a list of skill names, got a number',
    ]);
  });

  test('take nothing from the host, and have nothing built there', async () => {
    theirs('image: {dockerfile: x}\nenv:\n  A: plain\n  B: ${AWS_SECRET}\n  C: "?ask"\n  D: ${HOME}');
    expect(await said({ folder })).toEqual([
      'work/.bottle/agents/demo.md:2:1: image: belongs in an agent or bottle file of BOTTLE_HOME: this file came with a repository',
      'work/.bottle/agents/demo.md:5:3: env.B: belongs in a bottle file of BOTTLE_HOME: this file came with a repository',
      'work/.bottle/agents/demo.md:6:3: env.C: belongs in a bottle file of BOTTLE_HOME: this file came with a repository',
      'work/.bottle/agents/demo.md:7:3: env.D: belongs in a bottle file of BOTTLE_HOME: this file came with a repository',
    ]);
    for (const image of ['python:3', '{smolmachine: /x.smolmachine}']) {
      theirs(`driver: smolvm\nimage: ${image}`);
      expect(await said({ folder })).toEqual([expect.stringContaining('demo.md:3:1: image: belongs in an agent or')]);
    }
    // The same is right for whoever owns the host.
    agent('image: {dockerfile: x}\nenv: {B: "${AWS_SECRET}"}');
    expect(await said({ folder })).toEqual([]);
  });

  test('bring no credential, and what they name of variables is of the machine alone', async () => {
    const server = (token: string): string =>
      `mcpServers:\n  a:\n    type: http\n    url: https://a.test/mcp\n    headers:\n      Authorization: "Bearer ${token}"`;
    theirs(server('abc'));
    expect(await said({ folder })).toEqual([
      expect.stringMatching(
        /^work\/\.bottle\/agents\/demo\.md:7:7: mcpServers\.a\.headers\.Authorization: expected no/,
      ),
    ]);
    theirs(`${server('${AWS_SECRET}')}\nmodel: opus`);
    const manifest = await resolve({ folder });
    expect(merged(manifest.layer)).toEqual({});
    expect(manifest.notes.map(({ position, key, message }) => `${position?.line} ${key}: ${message}`)).toEqual([
      '3 mcpServers.a: a.test cannot be reached from the bottle; put it into allow, or write a route to it',
    ]);
  });

  test('say all else that an agent may', async () => {
    theirs(
      'env: {A: "ask?", B: x}\nskills: [x]\ngit-gate: {user: {name: Agent}}\nresources: {cpus: 1}\ndriver: docker',
    );
    expect(await said({ folder })).toEqual([]);
  });

  test('never come with bottles: one that is beside them is not read', async () => {
    theirs('bottle: evil');
    writeFiles(path.join(folder, '.bottle'), [['bottles/evil.md', matter('allow: [evil.test]')]]);
    expect(await said({ folder })).toEqual([
      'work/.bottle/agents/demo.md:2:9: bottle: there is no bottle file bottles/evil.md',
    ]);
  });

  test.each(['file', 'agents', '.bottle'])('are refused where %s is a link out of the folder', async (what) => {
    writeFiles(root, [['elsewhere/agents/demo.md', 'A secret file of the host.']]);
    const link = { file: '.bottle/agents/demo.md', agents: '.bottle/agents', '.bottle': '.bottle' }[what] as string;
    const target = { file: 'agents/demo.md', agents: 'agents', '.bottle': '' }[what] as string;
    mkdirSync(path.dirname(path.join(folder, link)), { recursive: true });
    symlinkSync(path.join(root, 'elsewhere', target), path.join(folder, link));
    await expect(resolve({ folder })).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
      message: `${folder}/.bottle/agents/demo.md: is a link that leads out of the working folder`,
    });
  });

  test('are refused where a link leads to a folder that is only called alike', async () => {
    writeFiles(`${folder}-secret`, [['demo.md', 'Of the host.']]);
    mkdirSync(path.join(folder, '.bottle/agents'), { recursive: true });
    symlinkSync(`${folder}-secret/demo.md`, path.join(folder, '.bottle/agents/demo.md'));
    await expect(resolve({ folder })).rejects.toMatchObject({
      message: expect.stringContaining('is a link that leads out of the working folder'),
    });
  });

  test('may be links within the folder, which may itself be reached by one', async () => {
    writeFiles(folder, [['docs/agent.md', 'Linked.']]);
    mkdirSync(path.join(folder, '.bottle/agents'), { recursive: true });
    symlinkSync('../../docs/agent.md', path.join(folder, '.bottle/agents/demo.md'));
    symlinkSync(folder, path.join(root, 'short'));
    for (const at of [folder, path.join(root, 'short')]) {
      expect((await resolve({ folder: at })).agent.prompt).toBe('Linked.');
    }
  });

  test('are no guests in a BOTTLE_HOME that is the folder’s own .bottle', async () => {
    home = path.join(folder, '.bottle');
    agent('image: mine:1\nenv: {A: "${HOME}"}', '', home);
    expect(await said({ folder })).toEqual([]);
  });
});

describe('an agent that is not there', () => {
  test('is an error which names those that are, of the repository too', async () => {
    writeFiles(
      home,
      ['zoe', 'abe', '_template', 'Not'].map((name) => [`agents/${name}.md`, '']),
    );
    writeFiles(home, [['agents/readme.txt', '']]);
    writeFiles(folder, [['.bottle/agents/ben.md', '']]);
    const message = `there is no agent demo: ${path.join(home, 'agents/demo.md')} is missing`;
    await expect(resolve()).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND', message, hint: 'agents here: abe, zoe' });
    await expect(resolve({ folder })).rejects.toMatchObject({ hint: 'agents here: abe, ben, zoe' });
    await expect(resolve({ agent: 'zoo' })).rejects.toMatchObject({ hint: 'did you mean zoe?' });
  });

  test('where there is none at all is told how to write one', async () => {
    await expect(resolve()).rejects.toMatchObject({
      code: 'AGENT_NOT_FOUND',
      hint: expect.stringContaining(`or write ${path.join(home, 'agents/demo.md')}`),
    });
  });

  test.each(['../demo', 'Demo', 'a b', '', '.', 'a'.repeat(300).toUpperCase()])(
    'is never looked for under %j',
    async (name) => {
      writeFiles(home, [['demo.md', 'outside']]);
      const error = await resolve({ agent: name, folder }).catch((thrown: unknown) => thrown as Error);
      expect(error).toMatchObject({
        code: 'AGENT_NOT_FOUND',
        message: expect.stringContaining("is not an agent's name"),
      });
      expect((error as Error).message.length).toBeLessThan(200);
    },
  );
});

describe('the lists', () => {
  test('are of what could be found, each name once, by name', async () => {
    writeFiles(
      home,
      ['b', 'a', '_t'].map((name) => [`agents/${name}.md`, '']),
    );
    writeFiles(folder, [
      ['.bottle/agents/c.md', ''],
      ['.bottle/agents/a.md', ''],
      ['.bot-bottle/agents/c.md', ''],
      ['.bottle/bottles/x.md', ''],
    ]);
    bottles({ y: '', x: '' });
    expect((await agentFiles({ home }, folder)).map(({ name, file }) => [name, short(file)])).toEqual([
      ['a', 'agents/a.md'],
      ['b', 'agents/b.md'],
      ['c', 'work/.bottle/agents/c.md'],
    ]);
    expect((await agentFiles({ home })).map(({ name }) => name)).toEqual(['a', 'b']);
    expect((await bottleFiles({ home })).map(({ name }) => name)).toEqual(['x', 'y']);
  });

  test('are empty where there is nothing', async () => {
    rmSync(home, { recursive: true });
    expect(await agentFiles({ home }, folder)).toEqual([]);
    expect(await bottleFiles({ home })).toEqual([]);
    expect(await strayFiles({ home }, folder)).toEqual([]);
  });
});

test('one bottle by itself has its problems and notes, and those of what it extends, in order', async () => {
  bottles({ base: 'egress: {log: x}\nallow: [7]', dev: 'extends: base\nsupervise: 1\negress: {log: y}' });
  expect((await inspectBottle({ home }, 'dev')).map((problem) => short(problemText(problem)))).toEqual([
    expect.stringMatching(/^bottles\/dev\.md:3:12: supervise: /),
    expect.stringMatching(/^bottles\/base\.md:3:9: allow\[0\]: /),
  ]);
  bottles({ base: 'egress: {log: x}', dev: 'extends: base\negress: {log: y}' });
  expect((await inspectBottle({ home }, 'dev')).map((problem) => [problem.severity, short(problem.file)])).toEqual([
    ['note', 'bottles/base.md'],
    ['note', 'bottles/dev.md'],
  ]);
});

test('files that nobody reads are noted: odd names, bottles of a repository, the oldest form', async () => {
  writeFiles(home, [
    ['agents/Demo.md', ''],
    ['agents/a b.md', ''],
    ['agents/_template.md', ''],
    ['agents/.hidden.md', ''],
    ['agents/good.md', ''],
    ['bottles/x_y.md', ''],
    ['bottles/notes.txt', ''],
  ]);
  writeFiles(folder, [
    ['.bottle/bottles/dev.md', ''],
    ['.bot-bottle/bottles/old.md', ''],
    ['claude-bottle.json', '{}'],
  ]);
  writeFiles(root, [['bot-bottle.json', '{}']]);
  const notes = await strayFiles({ home }, folder);
  expect(notes.map(({ severity }) => severity)).toEqual(notes.map(() => 'note'));
  expect(notes.map(({ file }) => short(file).replace(`${root}/`, '../')).sort()).toEqual([
    '../bot-bottle.json',
    'agents/Demo.md',
    'agents/a b.md',
    'bottles/x_y.md',
    'work/.bot-bottle/bottles/old.md',
    'work/.bottle/bottles/dev.md',
    'work/claude-bottle.json',
  ]);
});

test('bottles of a BOTTLE_HOME that is in the working folder are read, so nothing is noted of them', async () => {
  home = path.join(folder, '.bottle');
  bottles({ dev: '' });
  expect(await strayFiles({ home }, folder)).toEqual([]);
  expect((await bottleFiles({ home })).map(({ name }) => name)).toEqual(['dev']);
});
