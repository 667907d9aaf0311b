/**
 * The MCP servers of an agent file: which the agent's program is told, which the way out does not lead to, and which hold a
 * credential, which none may. Pure.
 */
import { decide, parseAllowEntry } from '../allow-list.ts';
import { EGRESS_NAME, EGRESS_PORT } from '../daemons.ts';
import type { AgentSettings, McpServer } from '../providers/agent-settings.ts';

/** Key path and what to know of it. */
export interface AgentNote {
  path: PropertyKey[];
  message: string;
}

export type Say = (path: PropertyKey[], message: string) => undefined;

const SERVER = /^[A-Za-z0-9_-]{1,64}$/;

/** A map of servers, or Claude Code's list of such maps and of names of servers that are set up elsewhere. */
export function mcpServers(value: unknown, note: Say, problems: AgentNote[]): Record<string, McpServer> | undefined {
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

/** In a hook that asks a server, say, or has variables of its own. */
export function credentialsBelow(path: PropertyKey[], value: unknown): AgentNote[] {
  if (Array.isArray(value)) return value.flatMap((each, at) => credentialsBelow([...path, at], each));
  if (!isRecord(value)) return [];
  const below = Object.entries(value).flatMap(([key, each]) => credentialsBelow([...path, key], each));
  return [...credentialsIn(path, value), ...below];
}

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

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** As JSON has it, which is what a plan is kept as. */
export const plain = <Value>(value: Value): Value => JSON.parse(JSON.stringify(value)) as Value;
