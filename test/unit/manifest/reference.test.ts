import { describe, expect, test } from 'vitest';
import { CLAUDE_CODE_KEYS } from '../../../src/core/manifest/agent-schema.ts';
import { referenceTable } from '../../../src/core/manifest/reference.ts';
import { SCHEMAS } from './said.ts';

const lines = referenceTable();
const rows = lines.slice(2).map((line) => {
  const [, file, key, meaning] = /^\| (agent|bottle|config\.yaml) \| (.+?) \| (.+) \|$/.exec(line) ?? [];
  return { file, key, meaning };
});
const keysOf = (file: string) => rows.filter((row) => row.file === file).map(({ key }) => key);

describe('the table of all that may be written', () => {
  test('is one of Markdown: three columns, a line each, no line that ends early', () => {
    expect(lines.slice(0, 2)).toEqual(['| file | key | meaning |', '|---|---|---|']);
    for (const line of lines) expect(line).not.toMatch(/\n|undefined/);
    // A bar within a cell would be a column.
    for (const line of lines.slice(2)) expect(line.match(/\|/g)).toHaveLength(4);
    expect(rows.filter(({ meaning }) => meaning === undefined)).toEqual([]);
  });

  test('has every key of every file, or at least those within it', () => {
    for (const [file, kind] of [
      ['agent', 'agent'],
      ['bottle', 'bottle'],
      ['config.yaml', 'config'],
    ] as const) {
      const keys = keysOf(file).join(' ');
      for (const key of Object.keys(SCHEMAS[kind].shape)) expect(keys).toMatch(new RegExp(`\`${key}[\`.]`));
    }
  });

  test('has what is deep within, with names and lists as places', () => {
    expect(keysOf('bottle')).toEqual(
      expect.arrayContaining([
        '`extends`',
        '`agent_provider.auth_token`',
        '`git-gate.user`',
        '`git-gate.repos.<name>.url`',
        '`egress.routes[].host`',
        '`egress.routes[].auth.scheme`',
        '`egress.routes[].matches[].paths`',
        '`limits`',
      ]),
    );
    expect(keysOf('config.yaml')).toContain('`network.pool`');
  });

  test('has no key twice in a file', () => {
    for (const file of ['agent', 'bottle', 'config.yaml']) {
      expect(new Set(keysOf(file)).size).toBe(keysOf(file).length);
    }
  });

  test("has Claude Code's own keys in one line, the last of the agent's", () => {
    const line = CLAUDE_CODE_KEYS.map((key) => `\`${key}\``).join(', ');
    expect(keysOf('agent').at(-1)).toBe(line);
    expect(keysOf('agent')).not.toContain('`name`');
    expect(rows.findIndex(({ file }) => file === 'bottle')).toBe(keysOf('agent').length);
  });
});
