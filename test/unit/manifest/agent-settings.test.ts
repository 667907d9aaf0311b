/** The keys of an agent file that are Claude Code's: delivered, or a note each. */
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { type AgentManifest, agentSchema, CLAUDE_CODE_KEYS } from '../../../src/core/manifest/agent-schema.ts';
import { agentKeys } from '../../../src/core/manifest/agent-settings.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { unreachedServers } from '../../../src/core/manifest/mcp-servers.ts';
import { claude } from '../../../src/core/providers/claude.ts';
import { codex } from '../../../src/core/providers/codex.ts';
import type { ProviderContext, Template } from '../../../src/core/providers/provider.ts';

const ALONE: ProviderContext = {
  modelUrl: null,
  credential: null,
  superviseUrl: null,
  promptEmpty: true,
  caBundle: null,
};

const keysOf = (agent: object, template: Template = 'claude') =>
  agentKeys(agentSchema.parse(agent) as AgentManifest, template);
const texts = (found: { path: PropertyKey[]; message: string }[]) =>
  found.map(({ path, message }) => `${pathText(path)}: ${message}`);
const notes = (agent: object, template?: Template) => texts(keysOf(agent, template).notes);
const problems = (agent: object) => texts(keysOf(agent).problems);

/** One of Claude Code's own agent files, with every key that it has. */
const WHOLE = {
  name: 'reviewer',
  description: 'reads code',
  model: 'opus',
  color: 'red',
  memory: 'user',
  tools: 'Read, Bash(git log:*), Bash(git diff:*), mcp__echo__ping',
  disallowedTools: ['WebSearch'],
  permissionMode: 'plan',
  maxTurns: 7,
  mcpServers: { echo: { type: 'http', url: 'http://egress:9099/echo.test/mcp' } },
  hooks: { Stop: [{ hooks: [{ type: 'command', command: 'true' }] }] },
  background: true,
  effort: 'max',
  isolation: 'worktree',
  initialPrompt: 'Begin.',
};

test('every key that a file of Claude Code may have is delivered, or said', () => {
  expect(Object.keys(WHOLE).sort()).toEqual([...CLAUDE_CODE_KEYS].sort());
  const { settings, message } = keysOf(WHOLE);
  const delivered = [...Object.keys(settings), ...(message === null ? [] : ['initialPrompt'])];
  const said = keysOf(WHOLE).notes.map(({ path }) => path[0]);
  // What a file is called, and what people read of it.
  expect([...delivered, ...said, 'name', 'description'].sort()).toEqual([...CLAUDE_CODE_KEYS].sort());
  expect(problems(WHOLE)).toEqual([]);
});

describe('Claude Code', () => {
  const { settings } = keysOf(WHOLE);
  const fileOf = (name: string): unknown =>
    JSON.parse(claude.files({ ...ALONE, settings }).find(({ path }) => path.endsWith(name))?.text ?? '');

  test('reads them in its settings and servers', () => {
    expect(fileOf('settings.json')).toEqual({
      skipDangerousModePermissionPrompt: true,
      skipWebFetchPreflight: true,
      model: 'opus',
      permissions: { defaultMode: 'plan', allow: ['Bash(git log:*)', 'Bash(git diff:*)'], deny: ['WebSearch'] },
      hooks: WHOLE.hooks,
      env: { CLAUDE_CODE_EFFORT_LEVEL: 'max' },
    });
    expect(fileOf('.claude.json')).toMatchObject({ mcpServers: WHOLE.mcpServers });
  });

  test('is told the rest as options, unless a person says otherwise', () => {
    const tools = '--tools=Read,Bash';
    expect(claude.argv({ promptEmpty: true, settings }, [])).toEqual(['claude', tools]);
    expect(claude.argv({ promptEmpty: true, settings }, ['-p', 'hi'])).toEqual([
      'claude',
      tools,
      '--max-turns=7',
      '-p',
      'hi',
    ]);
    const own = ['--tools=Read', '-p', '--max-turns', '1'];
    expect(claude.argv({ promptEmpty: true, settings }, own)).toEqual(['claude', ...own]);
  });

  test('without any, is told what it is told today', () => {
    expect(keysOf({}).settings).toEqual({});
    expect(claude.argv({ promptEmpty: true, settings: {} }, ['-p'])).toEqual(['claude', '-p']);
    expect(keysOf({ model: 'inherit', tools: null, mcpServers: {}, initialPrompt: '' })).toEqual({
      settings: {},
      message: null,
      notes: [],
      problems: [],
    });
  });
});

describe('Codex', () => {
  const config = (agent: object): Record<string, unknown> =>
    parse(codex.files({ ...ALONE, settings: keysOf(agent, 'codex').settings })[0]?.text ?? '');

  test('has a model, an effort and servers of its own words', () => {
    const env = { A: 'b', MINE: '${MINE}' };
    const headers = { Authorization: 'Bearer ${TOK}', 'x-a': 'b', 'x-c': '${NAME}' };
    const mcpServers = { far: { url: 'https://x.test/mcp', headers }, near: { command: 'tool', args: ['x'], env } };
    expect(config({ model: 'gpt-5', effort: 'high', mcpServers })).toMatchObject({
      model: 'gpt-5',
      model_reasoning_effort: 'high',
      mcp_servers: {
        far: {
          url: 'https://x.test/mcp',
          bearer_token_env_var: 'TOK',
          http_headers: { 'x-a': 'b' },
          env_http_headers: { 'x-c': 'NAME' },
        },
        near: { command: 'tool', args: ['x'], env: { A: 'b' }, env_vars: ['MINE'] },
      },
    });
    expect(config({})).not.toHaveProperty('model');
    expect(config({})).not.toHaveProperty('mcp_servers');
  });

  test('has nothing for the others, and no model of Claude', () => {
    expect(notes(WHOLE, 'codex').map((text) => text.split(':')[0])).toEqual([
      ...['model', 'effort', 'permissionMode', 'maxTurns', 'tools', 'disallowedTools', 'hooks'],
      ...['color', 'memory', 'background', 'isolation'],
    ]);
  });
});

describe('what is not understood', () => {
  test.each([
    [{ model: 'a b' }, 'model: not followed: expected the name of a model'],
    [{ model: 7 }, 'model: not followed: expected the name of a model'],
    [{ effort: 'much' }, 'effort: not followed: expected one of low, medium, high, xhigh, max'],
    // It would refuse all of its settings for it.
    [{ permissionMode: 'yolo' }, 'permissionMode: not followed: expected one of acceptEdits, auto'],
    [{ maxTurns: 0 }, 'maxTurns: not followed: expected a number of turns'],
    [{ tools: ['Read', '--danger'] }, 'tools: not followed: expected names of tools'],
    [{ tools: 'Read; rm' }, 'tools: not followed: expected names of tools'],
    [{ hooks: { Stop: 'x' } }, 'hooks: not followed: expected a list of hooks for each event'],
    [{ initialPrompt: ['x'] }, 'initialPrompt: not followed: expected text'],
    [{ mcpServers: 7 }, 'mcpServers: not followed: expected servers by name'],
    [{ mcpServers: ['github'] }, 'mcpServers[0]: not followed: no server of that name is set up in a machine'],
    [
      { mcpServers: { a: { type: 'http' } } },
      'mcpServers.a: not followed: expected a url (http or https), or a command',
    ],
    [{ mcpServers: { a: { url: 'file:///etc' } } }, 'mcpServers.a: not followed: expected a url'],
    [{ mcpServers: { supervise: { url: 'http://x' } } }, 'mcpServers.supervise: not followed: it is the name of'],
    [{ mcpServers: [{ a: { command: 'npx' } }] }, 'mcpServers[0].a: the machine must have the program "npx"'],
  ])('%j is said', (agent, note) => {
    expect(notes(agent)).toEqual([expect.stringContaining(note)]);
  });
});

describe('credentials', () => {
  const at = (server: object) => problems({ mcpServers: { a: { url: 'https://x.test', ...server } } });

  test.each([
    [{ headers: { Authorization: 'Bearer abc' } }, 'mcpServers.a.headers.Authorization'],
    [{ headers: { 'X-Api-Key': 'abc' } }, 'mcpServers.a.headers.X-Api-Key'],
    [{ url: 'https://me:abc@x.test/' }, 'mcpServers.a.url'],
    [{ url: 'https://x.test/?api_key=abc' }, 'mcpServers.a.url'],
    [{ command: 'x', env: { GITHUB_TOKEN: 'abc' } }, 'mcpServers.a.env.GITHUB_TOKEN'],
    [{ command: 'x', args: ['--token', 'abc'] }, 'mcpServers.a.args[0]'],
    [{ command: 'x', args: ['--api-key=abc'] }, 'mcpServers.a.args[0]'],
    [{ oauth: { clientSecret: 'abc' } }, 'mcpServers.a.oauth.clientSecret'],
  ])('%j has one, which is refused and not repeated', (server, key) => {
    expect(at(server)).toEqual([expect.stringMatching(new RegExp(`^${key.replace(/[.[\]]/g, '\\$&')}: expected no`))]);
    expect(at(server).join()).not.toContain('abc');
  });

  test.each([
    { headers: { Authorization: 'Bearer ${TOKEN}', 'x-team': 'red' } },
    { command: 'x', env: { GITHUB_TOKEN: '${GITHUB_TOKEN}', HOME: '/x' }, args: ['--token', '${T}', '--verbose'] },
    { url: 'https://x.test/?page=2' },
  ])('%j has none: variables are those of the machine', (server) => {
    expect(at(server)).toEqual([]);
  });

  test('in a hook are refused as well', () => {
    const hook = { type: 'http', url: 'https://x.test', headers: { Authorization: 'Bearer abc' } };
    expect(problems({ hooks: { Stop: [{ hooks: [hook] }] } })).toEqual([
      expect.stringMatching(/^hooks\.Stop\[0\]\.hooks\[0\]\.headers\.Authorization: expected no/),
    ]);
  });

  test('and what is more than a history should carry', () => {
    expect(problems({ hooks: { Stop: ['x'.repeat(70_000)] } })).toEqual([
      expect.stringMatching(/^hooks: expected at most/),
    ]);
  });
});

test('a server that the way out does not lead to is named', () => {
  const server = (url: string) => ({ mcpServers: { a: { url } } });
  const said = (url: string) => unreachedServers(server(url), ['ok.test', '*.wide.test:8443'], ['echo.test']);
  for (const url of [
    'https://ok.test/mcp',
    'https://a.wide.test:8443',
    'http://egress:9099/echo.test/mcp',
    'http://localhost:3000',
  ]) {
    expect(said(url)).toEqual([]);
  }
  expect(said('https://no.test/mcp')).toEqual([
    { name: 'a', message: expect.stringContaining('no.test cannot be reached') },
  ]);
  expect(said('http://ok.test:8080')).toHaveLength(1);
  expect(said('http://egress:9099/other.test/mcp')).toEqual([
    { name: 'a', message: expect.stringContaining('egress has no route other.test') },
  ]);
  expect(unreachedServers({ mcpServers: { a: { command: 'x', url: 'https://no.test' } } }, [], [])).toEqual([]);
});
