import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { patternProblem, wholePattern } from '../../../src/core/route-pattern.ts';

const LONGEST = 8192;

describe('a pattern', () => {
  test.each([
    ['/v1', ['/v1'], ['/v1\n', '/v1x', 'x/v1']],
    ['/a|/b', ['/a', '/b'], ['/ab', '/a/b']],
    [
      '/repos/[^/]+/issues(/\\d+)?',
      ['/repos/x/issues', '/repos/x/issues/12'],
      ['/repos/x/y/issues', '/repos/x/issues/'],
    ],
    ['\\/a\\-b/(?<name>\\w+)', ['/a-b/c_1'], ['/a-b/']],
    ['(?:x{2,3}/)*', ['', 'xx/xxx/'], ['x/']],
  ])('%s fits whole texts, as in JavaScript', (value, fitting, other) => {
    const { fits } = wholePattern(value);
    expect([fitting.filter(fits), other.filter(fits)]).toEqual([fitting, []]);
  });

  test.each(['(a+)+', '/(a|a)*b', '/(a|aa)+c', '/(.*)(.*)(.*)(.*)x', '/(x+x+)+y', '(.*a){20}b'])(
    '%s is over in time on the longest path that an agent may send',
    (value) => {
      // JavaScript's own engine needs longer than the universe is old for some of these; the test would never end.
      expect(wholePattern(value).fits(`/${'a'.repeat(LONGEST - 1)}!`)).toBe(false);
    },
  );

  test.each(['(', 'a)|(b', '[', '*', '(?i)a', 'x*+'])('%s is none, by itself or in brackets', (value) => {
    expect(() => wholePattern(value)).toThrow(SyntaxError);
    expect(patternProblem(value)).toBe('expected a regular expression');
  });

  test.each(['(?=a)a', '(?!a)b', '(?<!x)y', '(a)\\1'])('%s is told as what no such engine has', (value) => {
    expect(patternProblem(value)).toContain('without look-around, back-references');
  });

  test('of too many steps is refused: each character of a path would take all of them', () => {
    expect(patternProblem('(.{1,30}){1,15}b')).toBe('expected a shorter regular expression, with smaller counts');
    expect(patternProblem('/(foo|bar|baz)/[A-Za-z0-9_.-]{1,200}/x')).toBeUndefined();
  });

  test('says the same as JavaScript of any path, for what both have', () => {
    const atoms = fc.constantFrom('a', 'b', '/', '.', '[ab]', '[^/]', '\\d', '\\w', '(a|b/)', '(?:/x)', '\\.', '\\-');
    const piece = fc.tuple(atoms, fc.constantFrom('', '?', '*', '+', '{1,3}', '*?')).map((parts) => parts.join(''));
    const pattern = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''));
    const path = fc.string({ unit: fc.constantFrom('a', 'b', 'x', '/', '.', '-', '1', '_', '%'), maxLength: 12 });
    fc.assert(
      fc.property(pattern, path, (value, text) => {
        expect(wholePattern(value).fits(text)).toBe(new RegExp(`^(?:${value})$`).test(text));
      }),
      { numRuns: 2000 },
    );
  });
});
