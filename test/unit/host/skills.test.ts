import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findSkills, readSkill, skillFolders, skillsDigest } from '../../../src/host/skills.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-skills-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text = 'x'): string {
  const target = path.join(folder, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, text);
  return target;
}
const read = async (skill = 's'): Promise<string[]> =>
  (await readSkill(path.join(folder, skill), '/skills/s')).map(
    ({ path: at, mode, content }) => `${at} ${mode.toString(8)}${content === undefined ? '' : ` ${content}`}`,
  );
const refusal = (message: string) => ({ code: 'PROVISION_FAILED', retryable: false, message: `skill s: ${message}` });

describe('finding skills', () => {
  const folders = (): string[] => ['one', 'two'].map((name) => path.join(folder, name));

  test("looks in bottle's own folder, then in Claude Code's", () => {
    expect(skillFolders({ home: '/h/.bottle' }, '/h')).toEqual(['/h/.bottle/skills', '/h/.claude/skills']);
  });

  test('takes the first folder that has it, in the order asked for', async () => {
    for (const file of ['one/a/SKILL.md', 'two/a/SKILL.md', 'two/b/SKILL.md']) write(file);
    const [one, two] = folders() as [string, string];
    expect(await findSkills(folders(), ['b', 'a'])).toEqual([path.join(two, 'b'), path.join(one, 'a')]);
    expect(await findSkills(folders(), [])).toEqual([]);
  });

  test('passes by a file of that name, and follows a link to a folder', async () => {
    write('one/a');
    write('elsewhere/SKILL.md');
    mkdirSync(path.join(folder, 'two'));
    symlinkSync(path.join(folder, 'elsewhere'), path.join(folder, 'two/a'));
    expect(await findSkills(folders(), ['a'])).toEqual([path.join(folder, 'two/a')]);
    expect(await readSkill(path.join(folder, 'two/a'), '/s')).toHaveLength(2);
  });

  test('says every path it looked at for one that is missing', async () => {
    const [one, two] = folders() as [string, string];
    await expect(findSkills(folders(), ['a'])).rejects.toMatchObject({
      code: 'SKILL_NOT_FOUND',
      retryable: false,
      message: `there is no skill "a": looked at ${one}/a and ${two}/a`,
      hint: `put the skill's folder at ${one}/a, then retry`,
    });
  });

  test('names all that are missing at once', async () => {
    write('one/b/SKILL.md');
    await expect(findSkills(folders(), ['a', 'b', 'c'])).rejects.toMatchObject({
      message: expect.stringMatching(/^there are no skills "a", "c": looked at /),
    });
  });
});

describe('reading a skill', () => {
  test('gives folders before what is in them, empty ones too, with modes that matter only', async () => {
    write('s/b/two.md', '2');
    write('s/a.md', '1');
    mkdirSync(path.join(folder, 's/empty'));
    chmodSync(write('s/b/run', '3'), 0o4711);
    chmodSync(write('s/private.md', '4'), 0o600);
    expect(await read()).toEqual([
      '/skills/s 755',
      '/skills/s/a.md 644 1',
      '/skills/s/b 755',
      '/skills/s/b/run 755 3',
      '/skills/s/b/two.md 644 2',
      '/skills/s/empty 755',
      '/skills/s/private.md 644 4',
    ]);
  });

  test('gives what links inside lead to, by relative and absolute path', async () => {
    write('s/real/a.md', 'a');
    symlinkSync('real/a.md', path.join(folder, 's/file'));
    symlinkSync(path.join(folder, 's/real'), path.join(folder, 's/tree'));
    expect(await read()).toEqual([
      '/skills/s 755',
      '/skills/s/file 644 a',
      '/skills/s/real 755',
      '/skills/s/real/a.md 644 a',
      '/skills/s/tree 755',
      '/skills/s/tree/a.md 644 a',
    ]);
  });

  test.each([
    ['../outside', 'is a link that leads out of the skill'],
    ['/etc/passwd', 'is a link that leads out of the skill'],
    ['../s-too', 'is a link that leads out of the skill'],
    ['nowhere', 'is a link to nothing'],
    ['.', 'is a link to a folder that it lies in'],
    ['../s', 'is a link to a folder that it lies in'],
  ])('refuses a link to %s', async (to, message) => {
    write('outside', 'secret');
    write('s-too/secret');
    write('s/SKILL.md');
    symlinkSync(to, path.join(folder, 's/link'));
    await expect(read()).rejects.toMatchObject(refusal(`link ${message}`));
  });

  test('refuses two folders that are in each other by links', async () => {
    write('s/a/x');
    write('s/b/x');
    symlinkSync('../b', path.join(folder, 's/a/b'));
    symlinkSync('../a', path.join(folder, 's/b/a'));
    await expect(read()).rejects.toMatchObject(refusal('a/b/a is a link to a folder that it lies in'));
  });

  test('refuses what is no file, and what is too much', async () => {
    write('s/SKILL.md');
    execFileSync('mkfifo', [path.join(folder, 's/pipe')]);
    await expect(read()).rejects.toMatchObject(refusal('pipe is neither a file nor a directory'));
    rmSync(path.join(folder, 's/pipe'));
    truncateSync(write('s/huge'), 64 * 1024 ** 2 + 1);
    await expect(read()).rejects.toMatchObject(refusal('huge takes the skill over 64 MiB'));
  });
});

describe('the digest of skills', () => {
  const folders = (): string[] => ['one', 'two'].map((name) => path.join(folder, name));
  const digest = (names: string[] = ['a', 'b']): Promise<string> => skillsDigest(folders(), names);
  /** All as old as each other. */
  function ageAll(): void {
    for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
      utimesSync(path.join(folder, entry), 1000, 1000);
  }
  beforeEach(() => {
    for (const file of ['one/a/SKILL.md', 'one/a/more/x.md', 'two/b/SKILL.md']) write(file);
    ageAll();
  });

  test('is the same as long as nothing changes, whatever is around them', async () => {
    const before = await digest();
    expect(before).toMatch(/^[0-9a-f]{16}$/);
    write('one/other/SKILL.md');
    write('two/a/SKILL.md', 'not the first of its name');
    expect(await digest()).toBe(before);
  });

  test.each<[string, () => unknown]>([
    ['another size', () => write('one/a/more/x.md', 'xx')],
    ['a file more', () => write('two/b/new.md')],
    ['an empty folder more', () => mkdirSync(path.join(folder, 'two/b/new'))],
    ['a file less', () => rmSync(path.join(folder, 'one/a/more/x.md'))],
    ['another name', () => renameSync(path.join(folder, 'one/a/SKILL.md'), path.join(folder, 'one/a/skill.md'))],
    ['the skill gone', () => rmSync(path.join(folder, 'two/b'), { recursive: true })],
    ['a skill of that name in an earlier folder', () => write('one/b/SKILL.md')],
    [
      'a file in its place',
      () => {
        rmSync(path.join(folder, 'one/a'), { recursive: true });
        write('one/a');
      },
    ],
  ])('is another one with %s, whatever the times are', async (_what, act) => {
    const before = await digest();
    act();
    ageAll();
    expect(await digest()).not.toBe(before);
  });

  test('is another one with another time, of a file whose size is the same', async () => {
    const before = await digest();
    utimesSync(path.join(folder, 'one/a/more/x.md'), 1001, 1001);
    expect(await digest()).not.toBe(before);
  });

  test('is another one for other names, and in another order', async () => {
    const all = await Promise.all([['a', 'b'], ['b', 'a'], ['a'], ['b'], ['gone'], []].map((names) => digest(names)));
    expect(new Set(all).size).toBe(6);
  });

  test('looks into no file, and goes in no circles', async () => {
    execFileSync('mkfifo', [path.join(folder, 'one/a/pipe')]);
    truncateSync(write('one/a/huge'), 1024 ** 4);
    symlinkSync('..', path.join(folder, 'one/a/more/up'));
    symlinkSync('nowhere', path.join(folder, 'one/a/dead'));
    const before = performance.now();
    expect(await digest()).toBe(await digest());
    expect(performance.now() - before).toBeLessThan(5000);
  });
});
