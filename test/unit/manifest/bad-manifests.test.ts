/**
 * Manifests that are wrong, one a file of test/fixtures/manifests/bad, with every word that is said of each. After a
 * change of the words: UPDATE_GOLDEN=1, and read the difference.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { problemText } from '../../../src/core/manifest/problems.ts';
import { readConfigProblems } from '../../../src/host/config-file.ts';
import { inspectBottle, inspectManifest, resolveManifest } from '../../../src/host/manifest/library.ts';
import { readTxtar, writeFiles } from '../../support/txtar.ts';

const FOLDER = fileURLToPath(new URL('../../fixtures/manifests/bad/', import.meta.url));
const CASES = readdirSync(FOLDER).sort();

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(os.tmpdir(), 'bottle-bad-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Everything that is said of the files, with their folder as `$HOME`. */
async function said(files: ReadonlyMap<string, string>): Promise<string> {
  const settings = { home };
  const bottle = [...files.keys()].find((file) => file.startsWith('bottles/'))?.replace(/^bottles\/(.*)\.md$/, '$1');
  const problems = files.has('agents/demo.md')
    ? (await inspectManifest({ settings, agent: 'demo' })).problems
    : bottle === undefined
      ? readConfigProblems(settings)
      : await inspectBottle(settings, bottle);
  return `${problems.map(problemText).join('\n')}\n`.replaceAll(home, '$HOME');
}

test('there are at least 60 of them', () => {
  expect(CASES.length).toBeGreaterThanOrEqual(60);
});

describe('a wrong manifest', () => {
  test.each(CASES)('%s', async (name) => {
    const file = path.join(FOLDER, name);
    const text = readFileSync(file, 'utf8');
    const files = readTxtar(text);
    const expected = files.get('expected');
    files.delete('expected');
    writeFiles(home, files);
    const before = performance.now();
    const actual = await said(files);
    expect(performance.now() - before).toBeLessThan(1000);
    if (process.env['UPDATE_GOLDEN'] === '1') {
      writeFileSync(file, `${text.replace(/^-- expected --\n[\s\S]*/m, '')}-- expected --\n${actual}`);
      return;
    }
    expect(actual).toBe(expected);
    expect(actual).toMatch(/^\$HOME\//);
    expect(actual).not.toMatch(/\n\s+at |undefined|\[object|Invalid |native code/);
  });
});

describe('an error of a launch', () => {
  const write = (text: string) => writeFiles(home, [['agents/demo.md', text]]);

  test('has every problem as a line of its own, and the first of them in its message', async () => {
    write('---\nskills: [1]\nbotle: dev\nenv: []\ndriver: podman\n---\n');
    const error = await resolveManifest({ settings: { home }, agent: 'demo' }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'MANIFEST_INVALID',
      hint: 'see what is right and wrong: bottle check demo',
      problems: [
        `${home}/agents/demo.md:2:10: skills[0]: expected a skill name, got a number`,
        `${home}/agents/demo.md:3:1: botle: unknown key; did you mean bottle?`,
        `${home}/agents/demo.md:4:6: env: expected NAME: value pairs, got a list`,
        `${home}/agents/demo.md:5:9: driver: expected docker or smolvm, got "podman"`,
      ],
    });
    expect((error as Error).message).toMatch(/; and 1 more$/);
  });

  test('repeats nothing that could be a secret', async () => {
    writeFiles(home, [
      ['agents/demo.md', '---\nbottle: dev\n---\n'],
      [
        'bottles/dev.md',
        '---\nagent_provider: {auth_token: sk-ant-oat01-verysecret, api_key: [verysecret]}\nallow: ["verysecret verysecret"]\n---\n',
      ],
    ]);
    const { problems } = await inspectManifest({ settings: { home }, agent: 'demo' });
    expect(problems.length).toBe(3);
    expect(JSON.stringify(problems)).not.toContain('verysecret');
  });
});
