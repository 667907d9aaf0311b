/**
 * Patterns of the operator, tried on what an agent sends: paths and headers of up to 8 KiB, on every request. So they are run
 * by an engine that takes time in proportion to the text (RE2's): JavaScript's own takes for ever on `(a+)+` and a long path,
 * and egress has one thread.
 */
import { RE2JS, RE2JSException } from 're2js';

/** A pattern's steps for one character: with 500, the longest path takes about a quarter second on a slow computer. */
const LARGEST = 500;
/** A bottle has a few; what is compiled is kept, since a compilation costs more than a match. */
const MOST_KEPT = 1000;

const compiled = new Map<string, RE2JS>();

/** What a text fits when a pattern says of it as a whole. */
export interface WholePattern {
  fits(text: string): boolean;
}

/**
 * The rule `value` as a pattern of whole texts: JavaScript's syntax, without what no such engine can have.
 * @throws SyntaxError when it is no pattern, or one that is not taken; the message says why
 */
export function wholePattern(value: string): WholePattern {
  const pattern = compiled.get(value) ?? compile(value);
  return { fits: (text) => pattern.matches(text) };
}

/** A pattern of our own making, of whatever size, for whole texts: what is tried on it takes time in proportion to its length. */
export function linearPattern(source: string): WholePattern {
  const pattern = RE2JS.compile(source);
  return { fits: (text) => pattern.matches(text) };
}

/** Why a text is no pattern, in the words of `bottle check`; undefined when it is one. */
export function patternProblem(value: string): string | undefined {
  try {
    compile(value);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function compile(value: string): RE2JS {
  try {
    new RegExp(value); // whatever RE2 takes besides is not for a manifest
  } catch {
    throw new SyntaxError('expected a regular expression');
  }
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(RE2JS.translateRegExp(value));
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new SyntaxError('expected a regular expression without look-around, back-references and counts over 1000');
  }
  if (pattern.programSize() > LARGEST)
    throw new SyntaxError('expected a shorter regular expression, with smaller counts');
  if (compiled.size >= MOST_KEPT) compiled.clear();
  compiled.set(value, pattern);
  return pattern;
}
