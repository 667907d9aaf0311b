/**
 * The keys of an agent file that are Claude Code's own: what of them an agent's program is told, and what not. A file of
 * Claude Code's is taken as it is, so what is not understood is said, not refused; only a credential is.
 */
import { decide, parseAllowEntry } from '../allow-list.ts';
import { EGRESS_NAME, EGRESS_PORT } from '../daemons.ts';
import type { AgentSettings, McpServer } from '../providers/agent-settings.ts';
import type { Template } from '../providers/provider.ts';
import type { AgentManifest } from './agent-schema.ts';

/** Key path and what to know of it. */
export interface AgentNote {
  path: PropertyKey[];
  message: string;
}

export interface AgentKeys {
  settings: AgentSettings;
  /** What the agent is told first, where nobody says otherwise at launch. */
  message: string | null;
  notes: AgentNote[];
  /** What must not be in the file. */
  problems: AgentNote[];
}

const MODES = ['acceptEdits', 'auto', 'bypassPermissions', 'default', 'dontAsk', 'plan'];
const EFFORTS = { claude: ['low', 'medium', 'high', 'xhigh', 'max'], codex: ['low', 'medium', 'high', 'xhigh'] };
const MODEL = /^[A-Za-z0-9][\w.:/@[\]-]{0,199}$/;
const TOOL = /^[A-Za-z_*][\w*:.-]{0,199}(\([^\n]{0,500}\))?$/;
const SERVER = /^[A-Za-z0-9_-]{1,64}$/;
/** It is part of a plan, and so of a history. */
const MOST_SIGNS = 64 * 1024;

/** Keys that only mean something where Claude Code starts an agent beside another, or draws it. */
const UNFOLLOWED = {
  color: 'not followed: it colours an agent in a list of several',
  memory: 'not followed: a bottle keeps nothing of an agent after it',
  background: 'not followed: a bottle runs by itself anyway',
  isolation: 'not followed: a bottle is isolated anyway',
} as const;

/**
 * @param agent a file that fits the schema
 * @param template whose program is told
 */
export function agentKeys(agent: AgentManifest, template: Template): AgentKeys {
  const notes: AgentNote[] = [];
  const problems: AgentNote[] = [];
  const note = (path: PropertyKey[], message: string): undefined => void notes.push({ path, message });
  const settings: AgentSettings = {
    ...given('model', model(agent.model, template, note)),
    ...given('effort', oneOf('effort', agent.effort, EFFORTS[template], note)),
    ...given('permissionMode', claudeOnly('permissionMode', agent.permissionMode, template, note, mode)),
    ...given('maxTurns', claudeOnly('maxTurns', agent.maxTurns, template, note, turns)),
    ...given('tools', claudeOnly('tools', agent.tools, template, note, tools('tools'))),
    ...given(
      'disallowedTools',
      claudeOnly('disallowedTools', agent.disallowedTools, template, note, tools('disallowedTools')),
    ),
    ...given('hooks', claudeOnly('hooks', agent.hooks, template, note, hooks)),
    ...given('mcpServers', mcpServers(agent.mcpServers, note, problems)),
  };
  for (const [key, message] of Object.entries(UNFOLLOWED)) {
    if (agent[key as keyof typeof UNFOLLOWED] !== undefined) note([key], message);
  }
  const size = JSON.stringify(settings).length;
  if (size > MOST_SIGNS) {
    const path = settings.hooks === undefined ? ['mcpServers'] : ['hooks'];
    problems.push({
      path,
      message: `expected at most ${MOST_SIGNS} characters in all keys for the agent's program, got ${size} characters`,
    });
  }
  return { settings, message: firstMessage(agent.initialPrompt, note), notes, problems };
}

type Say = (path: PropertyKey[], message: string) => undefined;

const given = <Key extends string, Value>(key: Key, value: Value | undefined): { [Each in Key]?: Value } =>
  (value === undefined ? {} : { [key]: value }) as { [Each in Key]?: Value };

function claudeOnly<Value>(
  key: string,
  value: unknown,
  template: Template,
  note: Say,
  read: (value: unknown, note: Say) => Value | undefined,
): Value | undefined {
  if (value === undefined || value === null) return undefined;
  return template === 'claude' ? read(value, note) : note([key], `not followed: ${template} has nothing of the kind`);
}

function model(value: unknown, template: Template, note: Say): string | undefined {
  if (value === undefined || value === null || value === 'inherit') return undefined;
  if (typeof value !== 'string' || !MODEL.test(value))
    return note(['model'], 'not followed: expected the name of a model');
  const ofClaude = /^(opus|sonnet|haiku|fable|best|opusplan|default)\b|^claude-/.test(value);
  if (template === 'codex' && ofClaude)
    return note(['model'], "not followed: codex has no model of Claude's, and takes its own");
  return value;
}

function oneOf(key: string, value: unknown, known: readonly string[], note: Say): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && known.includes(value)) return value;
  return note([key], `not followed: expected one of ${known.join(', ')}`);
}

const mode = (value: unknown, note: Say): string | undefined => oneOf('permissionMode', value, MODES, note);

function turns(value: unknown, note: Say): number | undefined {
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  return note(['maxTurns'], 'not followed: expected a number of turns');
}

/** `Read, Bash(git log:*)` or a list. */
const tools =
  (key: string) =>
  (value: unknown, note: Say): string[] | undefined => {
    const list = typeof value === 'string' ? value.split(/,(?![^(]*\))/).map((each) => each.trim()) : value;
    const names = Array.isArray(list) ? list.filter((each) => each !== '') : [];
    if (names.length > 0 && names.every((each): each is string => typeof each === 'string' && TOOL.test(each))) {
      return names;
    }
    return note([key], 'not followed: expected names of tools, such as Read, Grep');
  };

function hooks(value: unknown, note: Say): Record<string, unknown> | undefined {
  if (isRecord(value) && Object.values(value).every(Array.isArray)) return plain(value);
  return note(['hooks'], 'not followed: expected a list of hooks for each event');
}

function firstMessage(value: unknown, note: Say): string | null {
  if (value === undefined || value === null || value === '') return null;
  if (typeof value === 'string' && value.length <= MOST_SIGNS) return value;
  note(['initialPrompt'], 'not followed: expected text');
  return null;
}

/** A map of servers, or Claude Code's list of such maps and of names of servers that are set up elsewhere. */
function mcpServers(value: unknown, note: Say, problems: AgentNote[]): Record<string, McpServer> | undefined {
  if (value === undefined || value === null) return undefined;
  const parts: [PropertyKey[], unknown][] = Array.isArray(value)
    ? value.map((each, at) => [['mcpServers', at], each])
    : [[['mcpServers'], value]];
  const servers: Record<string, McpServer> = {};
  for (const [path, part] of parts) {
    if (typeof part === 'string') {
      note(path, 'not followed: no server of that name is set up in a machine; write it out');
      continue;
    }
    if (!isRecord(part)) {
      note(path, 'not followed: expected servers by name');
      continue;
    }
    for (const [name, server] of Object.entries(part)) {
      const found = mcpServer([...path, name], name, server, note, problems);
      if (found !== undefined) servers[name] = found;
    }
  }
  return Object.keys(servers).length === 0 ? undefined : servers;
}

function mcpServer(
  path: PropertyKey[],
  name: string,
  server: unknown,
  note: Say,
  problems: AgentNote[],
): McpServer | undefined {
  if (!SERVER.test(name)) return note(path, 'not followed: a name is letters, digits, dashes and underscores');
  if (name === 'supervise') return note(path, 'not followed: it is the name of the way to the operator');
  if (!isRecord(server)) return note(path, 'not followed: expected a server');
  problems.push(...credentialsIn(path, server));
  if (typeof server['command'] === 'string') {
    note(
      path,
      `the machine must have the program ${JSON.stringify(server['command'].slice(0, 80))} (an image of your own, say)`,
    );
    return plain(server);
  }
  const url = typeof server['url'] === 'string' ? parsedUrl(server['url']) : undefined;
  if (url === undefined) return note(path, 'not followed: expected a url (http or https), or a command');
  return plain(server);
}

function parsedUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined;
}

const SECRET_NAME = /authorization|cookie|token|secret|passw|credential|api[-_]?key|access[-_]?key|private[-_]?key/i;
/** Claude Code puts in a variable of the machine, or what is written after `:-`. */
const IS_VARIABLE = /\$\{[A-Za-z_][A-Za-z0-9_]*\}/;
const CREDENTIAL =
  'expected no credential: the agent would hold it, and every history of the bottle. Write a route with auth in the bottle file and url: http://egress:9099/<host>/..., or ${NAME} of a variable under env';

/** What looks like a credential by where it stands; its value is never repeated. */
function credentialsIn(path: PropertyKey[], server: Record<string, unknown>): AgentNote[] {
  const named = ['headers', 'env', 'oauth'].flatMap((key) =>
    Object.entries(isRecord(server[key]) ? (server[key] as Record<string, unknown>) : {})
      .filter(
        ([name, value]) =>
          SECRET_NAME.test(name) && typeof value === 'string' && value !== '' && !IS_VARIABLE.test(value),
      )
      .map(([name]) => ({ path: [...path, key, name], message: CREDENTIAL })),
  );
  const url = typeof server['url'] === 'string' ? parsedUrl(server['url']) : undefined;
  const inUrl =
    url !== undefined &&
    (url.password !== '' ||
      [...url.searchParams].some(
        ([name, value]) => SECRET_NAME.test(name) && value !== '' && !IS_VARIABLE.test(value),
      ));
  const words = Array.isArray(server['args']) ? (server['args'] as unknown[]) : [];
  const inArguments = words.flatMap((word, at) => {
    const [, option, value = words[at + 1]] = (typeof word === 'string' && /^--?([\w-]+)(?:=(.*))?$/s.exec(word)) || [];
    const is =
      option !== undefined &&
      SECRET_NAME.test(option) &&
      typeof value === 'string' &&
      !/^-|^$/.test(value) &&
      !IS_VARIABLE.test(value);
    return is ? [{ path: [...path, 'args', at], message: CREDENTIAL }] : [];
  });
  return [...named, ...(inUrl ? [{ path: [...path, 'url'], message: CREDENTIAL }] : []), ...inArguments];
}

/**
 * MCP servers that the bottle's way out does not lead to.
 * @param allow entries of allow-list.ts
 * @param routes ids of egress' routes
 */
export function unreachedServers(
  { mcpServers: servers = {} }: AgentSettings,
  allow: readonly string[],
  routes: readonly string[],
): { name: string; message: string }[] {
  const entries = allow.map(parseAllowEntry);
  return Object.entries(servers).flatMap(([name, server]) => {
    const url =
      typeof server['url'] === 'string' && typeof server['command'] !== 'string' ? parsedUrl(server['url']) : undefined;
    if (url === undefined || /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname)) return [];
    const port = Number(url.port) || (url.protocol === 'http:' ? 80 : 443);
    if (url.hostname === EGRESS_NAME && port === EGRESS_PORT) {
      const id = url.pathname.split('/')[1] ?? '';
      return routes.includes(id)
        ? []
        : [{ name, message: `egress has no route ${id.slice(0, 80)}; write one to that host` }];
    }
    return decide(entries, url.hostname, port).verdict === 'allow'
      ? []
      : [{ name, message: `${url.host} cannot be reached from the bottle; put it into allow, or write a route to it` }];
  });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As JSON has it, which is what a plan is kept as. */
const plain = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;
