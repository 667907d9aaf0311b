/** What a person writes, from the first file on: init, check, schema, dry runs, questions, and a bottle that takes another's place. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import { imageScanner } from '../../src/host/images.ts';
import { docker, uniqueId } from '../support/installation.ts';
import { type CommandLine, commandLine } from './command.ts';

const name = uniqueId('first');
let it: CommandLine;
const home = (): string => path.join(path.dirname(it.state), 'home');

beforeAll(async () => {
  it = await commandLine('writing-test');
});
afterAll(() => it.dispose());

/** The tests of this file are one story. */
describe('from an empty BOTTLE_HOME', () => {
  test('check says that there is nothing yet, and what writes the first', async () => {
    expect(await it.bottle(['check'])).toEqual({
      code: 0,
      stdout: 'no agents and bottles yet: bottle init writes the first\n',
      stderr: '',
    });
  });

  test('init writes an agent and a bottle that are right, and never writes over them', async () => {
    const { code, stdout } = await it.bottle(['init', name]);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `next: bottle check ${name}\n      bottle up ${name}\n      bottle claude ${name}\n`,
    });
    expect(readdirSync(home()).sort()).toEqual(['agents', 'bottles', 'skills']);
    const file = path.join(home(), 'agents', `${name}.md`);
    const text = `${readFileSync(file, 'utf8')}More.\n`;
    writeFileSync(file, text);
    expect((await it.bottle(['init', name])).stderr).toMatch(/^left as it is .*\nleft as it is .*\n$/);
    expect(readFileSync(file, 'utf8')).toBe(text);
    expect(await it.bottle(['check'])).toMatchObject({ code: 0, stdout: '2 files, no problems\n', stderr: '' });
    expect(await it.bottle(['init', 'No Name'])).toMatchObject({ code: 2, stdout: '' });
  });

  test('check of one agent shows the merged manifest with the place of each value, and what each daemon allows', async () => {
    it.write('bottles/base.md', '---\nallow: [example.com]\nenv: {COLOUR: red}\n---\n');
    it.write('bottles/team.md', '---\nextends: base\nenv:\n  COLOUR: blue\nsupervise: true\n---\n');
    it.write('agents/team.md', '---\nbottle: team\n---\nBe kind.\n');
    const { code, stdout } = await it.bottle(['check', 'team']);
    expect(code).toBe(0);
    expect(stdout).toContain('bottles: base -> team');
    expect(stdout).toMatch(/^ {2}COLOUR: blue # .*bottles\/team\.md:4$/m);
    expect(stdout).toMatch(/^ {2}- example\.com # .*bottles\/base\.md:2$/m);
    expect(stdout).toMatch(/^pipelock +api\.anthropic\.com, port 80 and 443: HTTPS passes unread$/m);
    expect(stdout).toMatch(/^supervise +the agent may ask you, 10 things at a time$/m);
    const { document } = await it.json(['check', 'team']);
    expect(document).toMatchObject({
      ok: true,
      agent: 'team',
      problems: [],
      plan: {
        agent: 'team',
        manifest: { env: { COLOUR: 'blue' }, allow: ['example.com'], supervise: true },
        origins: {
          'env.COLOUR': expect.stringMatching(/team\.md:4$/),
          'allow[0]': expect.stringMatching(/base\.md:2$/),
        },
        allows: { supervise: ['the agent may ask you, 10 things at a time'] },
      },
    });
    expect(existsSync(it.state)).toBe(false);
  });

  test('a broken file is told of line by line, by check and by up, and stops nobody else', async () => {
    it.write('bottles/broken.md', '---\nalow: [x]\nsupervise: maybe\n---\n');
    it.write('agents/broken.md', '---\nbottle: broken\n---\n');
    const lines = [
      /broken\.md:2:1: alow: unknown key; did you mean allow\?$/,
      /broken\.md:3:12: supervise: expected true or false, got text$/,
    ];
    const checked = await it.bottle(['check']);
    expect(checked).toMatchObject({ code: 2, stdout: '2 problems\n' });
    const up = await it.bottle(['up', 'broken']);
    expect(up).toMatchObject({ code: 2, stdout: '' });
    for (const [at, line] of lines.entries()) {
      expect(checked.stderr.split('\n')[at]).toMatch(line);
      expect(up.stderr.split('\n')[at]).toMatch(line);
    }
    expect(up.stderr).toMatch(/\nerror\[MANIFEST_INVALID\]: 2 problems, listed above\nhint: .*bottle check broken\n$/);
    const { document } = await it.json(['check']);
    const { files } = document as { files: { name: string; ok: boolean }[] };
    expect(files.filter(({ ok }) => !ok).map((file) => file.name)).toEqual(['broken', 'broken']);
    expect((await it.json(['up', 'broken'])).document).toMatchObject({
      error: { code: 'MANIFEST_INVALID', problems: lines.map((line) => expect.stringMatching(line)) },
    });
    expect((await it.bottle(['up', 'team', '--dry-run'])).code).toBe(0);
  });

  test('names that are nearly right are said', async () => {
    expect((await it.bottle(['up', 'taem'])).stderr).toMatch(
      /^error\[AGENT_NOT_FOUND\]: .*\nhint: did you mean team\?\n$/,
    );
    expect((await it.bottle(['up', 'team', '--bottle', 'bsae'])).stderr).toMatch(
      /^error\[BOTTLE_FILE_NOT_FOUND\]: .*\nhint: did you mean base\?\n$/,
    );
    expect((await it.bottle(['up', 'team', '--gitignore'])).stderr).toMatch(
      /^error\[USAGE\]: --gitignore goes with --cwd\n/,
    );
    expect((await it.bottle(['up', 'team', '--prompt', ' '])).stderr).toMatch(
      /^error\[USAGE\]: --prompt: expected text/,
    );
  });

  test('schema prints one JSON Schema, or all of them', async () => {
    const one = await it.bottle(['schema', 'bottle']);
    expect(JSON.parse(one.stdout)).toMatchObject({ type: 'object', properties: { allow: { type: 'array' } } });
    expect(Object.keys((await it.json(['schema'])).document as object)).toEqual(['agent', 'bottle', 'config']);
    expect((await it.bottle(['schema', 'bottel'])).code).toBe(2);
  });
});

describe('a manifest that asks', () => {
  const asking = uniqueId('ask');

  test('is not launched where nobody can answer', async () => {
    it.write('bottles/noted.md', '---\negress: {log: 2}\n---\n');
    it.write(`agents/${asking}.md`, '---\nbottle: noted\nenv: {TOKEN: "?your token"}\n---\n');
    // What is to be noted of a launch is not said of one that is refused.
    expect(await it.bottle(['up', asking])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'error[ENV_MISSING]: the manifest asks for TOKEN, and there is no terminal to ask on\nhint: set a variable of that name for this command\n',
    });
  });

  test('takes a variable of that name, which the agent then has, and nobody else', async () => {
    const up = await it.bottle(['up', asking], { env: { TOKEN: 'what-nobody-sees' } });
    expect(up.code, up.stderr).toBe(0);
    const notes = up.stderr.slice(0, up.stderr.indexOf(`launching ${asking} `));
    expect(notes).toMatch(/^note: .*noted\.md.* egress\.log: /m);
    expect(notes.includes('contents are not scanned')).toBe((await imageScanner()) === 'allow-list');
    const seen = await it.bottle(['exec', asking, '--', 'printenv', 'TOKEN']);
    expect(seen).toMatchObject({ code: 0, stdout: 'what-nobody-sees\n' });
    const inspected = await docker.getContainer(machineName(asking)).inspect();
    expect(JSON.stringify(inspected)).not.toContain('what-nobody-sees');
    expect(readdirSync(path.join(it.state, 'answers'))).toEqual([]);
  });

  test('gives way to another of its id with --replace, and only with that', async () => {
    const container = (await docker.getContainer(machineName(asking)).inspect()).Id;
    const env = { TOKEN: 'another' };
    expect((await it.bottle(['up', asking, '--name', asking], { env })).stderr).toMatch(/error\[BOTTLE_EXISTS\]/);
    const replaced = await it.bottle(['up', asking, '--replace'], { env });
    expect(replaced, replaced.stderr).toMatchObject({ code: 0 });
    expect(replaced.stderr).toContain(`taking ${asking} down first\n`);
    expect((await docker.getContainer(machineName(asking)).inspect()).Id).not.toBe(container);
  });

  test('apply and reload say what they did, and refuse in one line', async () => {
    expect(await it.bottle(['apply', asking])).toMatchObject({ code: 0, stdout: `${asking} is ready\n` });
    const reloaded = await it.bottle(['reload', asking]);
    expect(reloaded).toMatchObject({ code: 0, stdout: `${asking} is ready\n` });
    expect(reloaded.stderr).toMatch(/^reload: bundle\n/);
    it.write(`agents/${asking}.md`, '---\nenv: {TOKEN: "?your token"}\nresources: {cpus: 1}\n---\n');
    expect(await it.bottle(['apply', asking])).toEqual({
      code: 1,
      stdout: '',
      stderr: `error[PLAN_CHANGED]: the manifest has changed in resources.cpus (2 -> 1): machine.create was made from what it said before\nhint: bottle up ${asking} --name ${asking} --replace makes it anew\n`,
    });
    expect((await it.bottle(['apply', 'nobody'])).code).toBe(4);
    expect((await it.bottle(['down', asking])).code).toBe(0);
  });
});

describe('a working folder', () => {
  test('may hold an agent and be copied, without what git ignores', async () => {
    const agent = uniqueId('proj');
    const cwd = path.join(path.dirname(it.state), 'project');
    mkdirSync(path.join(cwd, '.bottle/agents'), { recursive: true });
    mkdirSync(path.join(cwd, 'build'));
    writeFileSync(path.join(cwd, '.bottle/agents', `${agent}.md`), 'Be kind to this project.\n');
    writeFileSync(path.join(cwd, '.gitignore'), 'build/\n');
    writeFileSync(path.join(cwd, 'build/out'), 'out');
    writeFileSync(path.join(cwd, 'code'), 'code');
    expect((await it.bottle(['up', agent])).stderr).toMatch(/^error\[AGENT_NOT_FOUND\]/);
    const up = await it.bottle(['up', agent, '--cwd', '--gitignore', '--prompt', 'Say hello.'], { cwd });
    expect(up.code, up.stderr).toBe(0);
    const seen = await it.bottle([
      'exec',
      agent,
      '--',
      'sh',
      '-c',
      'ls -A; cat ~/.bottle/prompt.md ~/.bottle/message.md',
    ]);
    expect(seen.stdout).toBe('.bottle\n.gitignore\ncode\nBe kind to this project.Say hello.');
    expect((await it.bottle(['down', agent])).code).toBe(0);
  });
});
