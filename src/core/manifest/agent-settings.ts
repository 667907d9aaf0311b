/**
 * The keys of an agent file that are Claude Code's own: what of them an agent's program is told, and what not. A file of
 * Claude Code's is taken as it is, so what is not understood is said, not refused; only a credential is.
 */
import type { AgentSettings } from '../providers/agent-settings.ts';
import type { Template } from '../providers/provider.ts';
import type { AgentManifest } from './agent-schema.ts';
import { type AgentNote, credentialsBelow, isRecord, mcpServers, plain, type Say } from './mcp-servers.ts';

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
  problems.push(...credentialsBelow(['hooks'], settings.hooks));
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
