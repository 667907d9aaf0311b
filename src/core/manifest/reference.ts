/** README's table of everything that may be written, from the schemas. */
import { CLAUDE_CODE_KEYS } from './agent-schema.ts';
import { jsonSchema } from './json-schema.ts';
import type { ManifestKind } from './older-keys.ts';

interface Node {
  description?: string;
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  items?: Node;
  anyOf?: Node[];
}

interface Row {
  key: string;
  meaning: string;
}

const KINDS: readonly [ManifestKind, string][] = [
  ['agent', 'agent'],
  ['bottle', 'bottle'],
  ['config', 'config.yaml'],
];

/** Lines of a Markdown table: file, key, meaning. A key without a word of its own is told of by those within it. */
export function referenceTable(): string[] {
  const rows = KINDS.flatMap(([kind, file]) => rowsOf('', jsonSchema(kind) as Node).map((row) => ({ file, ...row })));
  const left: ReadonlySet<string> = new Set(CLAUDE_CODE_KEYS);
  const shown = rows.filter(({ file, key }) => file !== 'agent' || !left.has(key));
  const passed = CLAUDE_CODE_KEYS.map((key) => `\`${key}\``).join(', ');
  const lines = shown.map(({ file, key, meaning }) => `| ${file} | \`${key}\` | ${meaning} |`);
  const afterAgent = shown.findLastIndex(({ file }) => file === 'agent') + 1;
  lines.splice(afterAgent, 0, `| agent | ${passed} | left to Claude Code, so that one file can serve both |`);
  return ['| file | key | meaning |', '|---|---|---|', ...lines];
}

function rowsOf(path: string, node: Node): Row[] {
  const own = node.description === undefined || path === '' ? [] : [{ key: path, meaning: node.description }];
  return [...own, ...within(path, node)];
}

function within(path: string, node: Node): Row[] {
  const named = Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    rowsOf(path === '' ? key : `${path}.${key}`, child),
  );
  const any = typeof node.additionalProperties === 'object' ? within(`${path}.<name>`, node.additionalProperties) : [];
  const items = node.items === undefined ? [] : within(`${path}[]`, node.items);
  return [...named, ...any, ...items];
}
