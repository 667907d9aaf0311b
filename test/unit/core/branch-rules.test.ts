import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BranchRules, type RefChange, refusalOf } from '../../../src/core/branch-rules.ts';

const strict: BranchRules = { branches: [], allowForce: false, allowDelete: false };
const branch = (name: string, kind: RefChange['kind'] = 'create'): RefChange => ({ ref: `refs/heads/${name}`, kind });
const tag = (name: string, kind: RefChange['kind'] = 'create'): RefChange => ({ ref: `refs/tags/${name}`, kind });

describe('the rules of a repository', () => {
  it.each([
    ['a new branch', branch('topic')],
    ['a branch that gains commits', branch('main', 'update')],
    ['a new tag', tag('v1.0.0')],
    ['a name with slashes, dots, dashes and other letters', branch('feature/é-1.2_x+y@z')],
  ])('let %s pass', (_what, change) => {
    expect(refusalOf(strict, change)).toBeUndefined();
  });

  it.each([
    ['a branch that loses commits', branch('main', 'force'), /lose commits/],
    ['a tag that moves', tag('v1', 'force'), /may not be moved/],
    ['the end of a branch', branch('old', 'delete'), /may not be deleted/],
    ['the end of a tag', tag('v1', 'delete'), /may not be deleted/],
  ])('refuse %s unless it is allowed', (_what, change, reason) => {
    expect(refusalOf(strict, change)).toMatch(reason);
    expect(refusalOf({ ...strict, allowForce: true, allowDelete: true }, change)).toBeUndefined();
  });

  it('refuse a name that is longer than any server keeps', () => {
    expect(refusalOf(strict, branch('a'.repeat(989)))).toBeUndefined();
    expect(refusalOf(strict, branch('a'.repeat(990)))).toBe('is longer than the 1000 characters that a name may have');
  });

  it('do not take leave to rewrite for leave to delete, nor the other way round', () => {
    expect(refusalOf({ ...strict, allowForce: true }, branch('old', 'delete'))).toMatch(/deleted/);
    expect(refusalOf({ ...strict, allowDelete: true }, branch('old', 'force'))).toMatch(/lose commits/);
  });

  it.each(['refs/notes/commits', 'refs/replace/x', 'refs/pull/1/head', 'HEAD', 'refs/headsx/main', 'main', ''])(
    'refuse %j, which is neither a branch nor a tag, whatever is allowed',
    (ref) => {
      const lax = { branches: [], allowForce: true, allowDelete: true };
      for (const kind of ['create', 'update', 'force', 'delete'] as const) {
        expect(refusalOf(lax, { ref, kind })).toMatch(/neither a branch nor a tag/);
      }
    },
  );

  it.each([
    ...['a:b', 'a*', 'a b', 'a\nb', 'a\u0000b', 'a\u0085b', 'a~1', 'a^', 'a?', 'a[b', 'a\\b', '../x', 'a..b', 'a@{1}'],
    ...['a//b', '/a', 'a/', 'a.', '.a', 'a/.b', 'a.lock', 'a.lock/b', 'a\ufffd', '\ud800', ''],
  ])('refuse the name %j, which git would refuse, or read as something else', (name) => {
    expect(refusalOf(strict, branch(name))).toMatch(/not a name/);
    expect(refusalOf(strict, tag(name))).toMatch(/not a name/);
  });
});

describe('the branches that may be pushed', () => {
  it.each([
    ['main', 'main', true],
    ['main', 'mainx', false],
    ['main', 'xmain', false],
    ['main', 'a/main', false],
    ['agent/*', 'agent/fix', true],
    ['agent/*', 'agent/fix/deep', false],
    ['agent/*', 'agent', false],
    ['agent/**', 'agent/fix/deep', true],
    ['**/fix', 'a/b/fix', true],
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['**', 'a/b', true],
    ['v1.x', 'v1.x', true],
    ['v1.x', 'v1yx', false],
    ['a+(b)|c', 'a+(b)|c', true],
    ['a+(b)|c', 'c', false],
    ['fix-*-*', 'fix-1-2', true],
  ])('%j and the branch %j: %s', (glob, name, allowed) => {
    const refusal = refusalOf({ ...strict, branches: ['no-such', glob] }, branch(name));
    if (allowed) expect(refusal).toBeUndefined();
    else expect(refusal).toBe(`is not among the branches that may be pushed: no-such, ${glob}`);
  });

  it.each(['*-*-*-*-*-*-*x', '**-**-**-**-**-**x', '**/**/**/**x'])(
    '%j is over in time on the longest name that an agent may push',
    (glob) => {
      // A regular expression made of it would need longer than the universe is old.
      const name = '-/'.repeat(490);
      expect(refusalOf({ ...strict, branches: [glob] }, branch(`${name}-`))).toMatch(/not among/);
      expect(refusalOf({ ...strict, branches: [glob] }, branch('-'.repeat(985)))).toMatch(/not among/);
    },
  );

  it('fit as a regular expression would, whatever the name', () => {
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*', '.', '-'), minLength: 1, maxLength: 8 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '/', '-', '.'), minLength: 1, maxLength: 10 });
    const expressionOf = (text: string): RegExp => {
      const source = text.replace(/\*{2,}|\*|\./g, (part) => (part === '*' ? '[^/]*' : part === '.' ? '\\.' : '.*'));
      return new RegExp(`^${source}$`);
    };
    fc.assert(
      fc.property(glob, name, (rule, each) => {
        const refusal = refusalOf({ ...strict, branches: [rule] }, branch(each));
        fc.pre(refusal === undefined || /not among/.test(refusal));
        expect(refusal === undefined).toBe(expressionOf(rule).test(each));
      }),
      { numRuns: 1000 },
    );
  });

  it('say nothing of tags', () => {
    expect(refusalOf({ ...strict, branches: ['agent/*'] }, tag('v1'))).toBeUndefined();
  });

  it('count for a deletion too', () => {
    const rules = { branches: ['agent/*'], allowForce: true, allowDelete: true };
    expect(refusalOf(rules, branch('main', 'delete'))).toMatch(/not among/);
    expect(refusalOf(rules, branch('agent/old', 'delete'))).toBeUndefined();
  });
});
