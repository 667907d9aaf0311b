/** Reads one Markdown file with YAML front matter, bounded in size and shape. */
import { readFile, stat } from 'node:fs/promises';
import { CLAUDE_CODE_KEYS } from '../../core/manifest/agent-schema.ts';
import type { Problem } from '../../core/manifest/problems.ts';
import { readYaml, type YamlText } from './yaml-text.ts';

export interface ManifestFile extends YamlText {
  file: string;
  /** Everything after the front matter, without surrounding blank lines. */
  body: string;
}

/** A line of three dashes and no more: a text may well begin with a longer rule. */
const OPENING = /^---[ \t]*(?:\r?\n|$)/;
const FRONT_MATTER = /^---[ \t]*\r?\n([\s\S]*?)^---[ \t]*(?:\r?\n|$)/m;
const LARGEST_BYTES = 1024 * 1024;
/** What is wrong from top to bottom takes a second at that. */
const LARGEST_FRONT_MATTER = 32 * 1024;

/**
 * Never throws for what the file holds: that is in its problems.
 * @returns undefined when there is no such file
 */
export async function readManifestFile(file: string): Promise<ManifestFile | undefined> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) {
    if (found.code === 'ENOENT' || found.code === 'ENOTDIR') return undefined;
    return unreadable(file, `cannot be read (${found.code})`);
  }
  if (!found.isFile()) return unreadable(file, 'expected a file');
  if (found.size > LARGEST_BYTES) return unreadable(file, `expected at most ${LARGEST_BYTES / 1024} KiB`);
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => error);
  if (bytes instanceof Error) return unreadable(file, `cannot be read (${bytes.code})`);
  const text = decode(bytes);
  if (text === undefined) return unreadable(file, `expected UTF-8 text${isUtf16(bytes) ? ', got UTF-16' : ''}`);
  return parts(file, text);
}

function parts(file: string, text: string): ManifestFile {
  if (!OPENING.test(text)) return { file, ...readYaml(file, ''), body: text.trim() };
  const match = FRONT_MATTER.exec(text);
  if (match === null || match.index !== 0)
    return unreadable(file, 'the front matter opened by --- on line 1 is never closed');
  const [whole, yaml = ''] = match;
  if (yaml.length > LARGEST_FRONT_MATTER)
    return unreadable(file, `expected at most ${LARGEST_FRONT_MATTER / 1024} KiB of front matter`);
  return { file, ...readYaml(file, withQuotes(yaml), 1), body: text.slice(whole.length).trim() };
}

/** What Claude Code reads itself may be no YAML: its descriptions have colons in them, and no quotes. */
const CLAUDE_CODE_TEXT = new RegExp(`^(${CLAUDE_CODE_KEYS.join('|')}):[ \\t]+([^\\s'"|>\\[{&*!].*:[ \\t].*)$`, 'gm');

const withQuotes = (yaml: string): string =>
  yaml.replace(CLAUDE_CODE_TEXT, (_line, key: string, value: string) => `${key}: ${JSON.stringify(value.trimEnd())}`);

function decode(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const isUtf16 = (bytes: Buffer): boolean =>
  (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);

function unreadable(file: string, message: string): ManifestFile {
  const problem: Problem = { severity: 'error', file, position: null, key: '', message };
  return { file, value: undefined, problems: [problem], position: () => null, body: '' };
}
