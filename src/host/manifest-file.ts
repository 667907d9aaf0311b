/** Reads one Markdown file with YAML front matter, bounded in size and shape. */
import { readFile, stat } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import { BottleError } from '../core/errors.ts';

export interface ManifestFile {
  file: string;
  /** The front matter's value; an empty object when there is none. */
  frontMatter: unknown;
  /** Everything after the front matter, without surrounding blank lines. */
  body: string;
}

/** A line of three dashes and no more: a text may well begin with a longer rule. */
const OPENING = /^---[ \t]*(?:\r?\n|$)/;
const LARGEST_BYTES = 1024 * 1024;

/**
 * @returns undefined when there is no such file
 * @throws BottleError `MANIFEST_INVALID` naming the file and the line
 */
export async function readManifestFile(file: string): Promise<ManifestFile | undefined> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return undefined;
  if (!found.isFile()) throw invalid(file, 'expected a file');
  if (found.size > LARGEST_BYTES) throw invalid(file, `expected at most ${LARGEST_BYTES / 1024} KiB`);
  const text = decode(file, await readFile(file));
  const match = /^---[ \t]*\r?\n([\s\S]*?)^---[ \t]*(?:\r?\n|$)/m.exec(text);
  if (!OPENING.test(text)) return { file, frontMatter: {}, body: text.trim() };
  if (match === null || match.index !== 0)
    throw invalid(file, 'the front matter opened by --- on line 1 is never closed');
  return { file, frontMatter: parseFrontMatter(file, match[1] ?? ''), body: text.slice(match[0].length).trim() };
}

function parseFrontMatter(file: string, yaml: string): unknown {
  const document = parseDocument(yaml, { uniqueKeys: true, stringKeys: true, prettyErrors: true });
  const [problem] = document.errors;
  if (problem !== undefined) {
    // The front matter begins on the file's second line.
    const line = (problem.linePos?.[0].line ?? 1) + 1;
    throw invalid(`${file}:${line}`, `is not YAML: ${problem.message.split('\n', 1)[0]?.replace(/ at line .*$/, '')}`);
  }
  try {
    return document.toJS({ maxAliasCount: 0 }) ?? {};
  } catch {
    throw invalid(file, 'anchors and aliases (&, *) are not read here');
  }
}

function decode(file: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(file, 'expected UTF-8 text');
  }
}

function invalid(file: string, what: string): BottleError {
  return new BottleError('MANIFEST_INVALID', `${file}: ${what}`);
}
