import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { readYaml } from '../../../src/host/manifest/yaml-text.ts';

const said = (text: string, linesBefore?: number): string[] =>
  readYaml('f', text, linesBefore).problems.map(
    ({ position, message }) => `${position?.line}:${position?.column} ${message}`,
  );

describe('YAML', () => {
  test.each([
    ['', {}],
    ['# nothing\n', {}],
    ['a: 1\nb: [x, {c: d}]\n', { a: 1, b: ['x', { c: 'd' }] }],
    ['- a\n', ['a']],
    ['just text', 'just text'],
    ['a: yes\nb: 0o17\nc: ~\nd: 1_000\n', { a: 'yes', b: 15, c: null, d: '1_000' }],
    ['a: |\n  &not an anchor\n  *\nb: "<<"\n', { a: '&not an anchor\n*\n', b: '<<' }],
  ])('%j is %j', (text, value) => {
    expect(readYaml('f', text)).toMatchObject({ value, problems: [] });
  });

  test('that would be lost without a word is an error', () => {
    const { value, problems } = readYaml('f', '__proto__: {admin: true}\n');
    expect(value).toBeUndefined();
    expect(problems).toMatchObject([{ message: 'a key cannot be __proto__' }]);
  });

  test('of any plain value is that value', () => {
    const plain = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('value'), { maxKeys: 3 }),
      ),
    })).value;
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z-]+$/), plain), (value) => {
        // Without anchors for what is the same twice. Merge keys and __proto__ are refused, and variables stay text.
        fc.pre(!/"(<<|__proto__)":/.test(JSON.stringify(value)) && !Object.hasOwn(value, 'env'));
        expect(readYaml('f', stringify(value, { aliasDuplicateObjects: false })).value).toEqual(value);
      }),
    );
  });
});

describe('what is wrong with YAML', () => {
  test.each([
    ['a: 1\nb: 2\na: 3\n', '3:1 is not YAML: a key stands here twice'],
    ['a:\n  b: 1\n  b: 2\n', '3:3 is not YAML: a key stands here twice'],
    ['[a]: 1\n', '1:1 is not YAML: a key must be text'],
    ['a: 1\n---\nb: 2\n', '2:1 is not YAML: a second document begins here'],
    ['a:\n\tb: 1\n', '2:1 is not YAML: a tab cannot indent: use spaces'],
    ['a: [1, 2\nb: 3\n', expect.stringMatching(/^2:\d+ is not YAML: a \[ or \{ is not closed$/)],
    ['a: Use this: that\n', expect.stringMatching(/^1:\d+ is not YAML: text with ": " in it needs quotes$/)],
    ['a: "x\n', expect.stringMatching(/^\d:\d+ is not YAML: /)],
    ['a: !tag x\n', expect.stringMatching(/^1:4 is not YAML: /)],
    ['a: &x 1\n', '1:7 anchors and aliases (&, *, <<) are not read here: text that begins like one needs quotes'],
    ['a: [*x]\n', expect.stringContaining('anchors and aliases')],
    ['<<: {a: 1}\n', '1:1 anchors and aliases (&, *, <<) are not read here: text that begins like one needs quotes'],
    [
      'a:\n  <<: {b: 1}\n',
      '2:3 anchors and aliases (&, *, <<) are not read here: text that begins like one needs quotes',
    ],
  ])('%j', (text, problem) => {
    expect(said(text)).toContainEqual(problem);
    expect(readYaml('f', text).value).toBeUndefined();
  });

  test('is told by the line of the whole file', () => {
    expect(said('a: 1\na: 2\n', 1)).toEqual(['3:1 is not YAML: a key stands here twice']);
  });

  test('is one problem of anchors, however many there are, and no bomb', () => {
    const bomb = `a: &a [x,x]\n${Array.from({ length: 40 }, (_, n) => `k${n}: &k${n} [*a,*a]`).join('\n')}\n`;
    expect(said(bomb)).toHaveLength(1);
  });

  test.each(['[', '{a: ', '- '])('nested without end in %j is a problem, not a crash', (opening) => {
    expect(said(`a: ${opening.repeat(100_000)}`)).toEqual(
      expect.arrayContaining([expect.stringMatching(/is not YAML|nested/)]),
    );
  });
});

describe('the place of', () => {
  const text = ['# first', 'name: x', 'list:', '  - one', '  - key:   two', 'flow: {a: 1, b: [5, 6]}', 'none:'].join(
    '\n',
  );
  const place = (path: PropertyKey[], at?: 'key' | 'value') => {
    const position = readYaml('f', text, 10).position(path, at);
    return position === null ? null : `${position.line - 10}:${position.column}`;
  };

  test.each<[PropertyKey[], string, string]>([
    [['name'], '2:1', '2:7'],
    [['list'], '3:1', '4:3'],
    [['list', 0], '4:5', '4:5'],
    [['list', 1], '5:5', '5:5'],
    [['list', 1, 'key'], '5:5', '5:12'],
    [['flow', 'a'], '6:8', '6:11'],
    [['flow', 'b', 1], '6:21', '6:21'],
  ])('%j is that of its key, or its value', (path, key, value) => {
    expect(place(path, 'key')).toBe(key);
    expect(place(path, 'value')).toBe(value);
    expect(place(path)).toBe(value);
  });

  test('what is not there is that of the nearest thing around it', () => {
    expect(place(['missing'])).toBe(place([]));
    expect(place(['flow', 'c'])).toBe('6:7');
    expect(place(['flow', 'c', 'deeper'])).toBe('6:7');
    expect(place(['name', 'deeper', 0])).toBe('2:7');
    expect(place(['list', 7])).toBe('4:3');
    expect(readYaml('f', '').position(['x'])).toBeNull();
  });

  test('a value that is nothing is on its line', () => {
    expect(place(['none'])).toMatch(/^7:/);
  });

  test('every scalar is where it was written', () => {
    const keys = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(keys, fc.nat({ max: 3 }), (names, blanks) => {
        const lines = names.flatMap((name, at) => [...Array(blanks).fill(''), `${name}: ${at}`]);
        const yaml = readYaml('f', lines.join('\n'));
        for (const [at, name] of names.entries()) {
          const line = (blanks + 1) * (at + 1);
          expect(yaml.position([name], 'key')).toEqual({ line, column: 1 });
          expect(yaml.position([name])).toEqual({ line, column: name.length + 3 });
        }
      }),
    );
  });
});
