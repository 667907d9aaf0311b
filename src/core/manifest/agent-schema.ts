/** The front matter of an agent file; what is below it is the prompt. */
import { z } from 'zod';
import { driver, env, gitUser, image, manifestName, resources, skillName } from './fields.ts';

/** Of Claude Code's own agent files, beyond those that the original knew. */
export const FURTHER_CLAUDE_CODE_KEYS = [
  'tools',
  'disallowedTools',
  'permissionMode',
  'maxTurns',
  'mcpServers',
  'hooks',
  'background',
  'effort',
  'isolation',
  'initialPrompt',
] as const;

/** Of Claude Code's own agent files (`~/.claude/agents/*.md`), so that one file can serve both. */
export const CLAUDE_CODE_KEYS = [
  'name',
  'description',
  'model',
  'color',
  'memory',
  ...FURTHER_CLAUDE_CODE_KEYS,
] as const;

/** What becomes of each; agent-settings.ts reads them. */
const MEANINGS: Record<(typeof CLAUDE_CODE_KEYS)[number], string> = {
  name: 'of Claude Code; here an agent is called as its file is',
  description: 'of Claude Code; for people',
  model: 'the model; codex: one of its own',
  color: 'of Claude Code; not followed',
  memory: 'of Claude Code; not followed',
  tools: 'built-in tools that Claude Code has, with `bottle claude`',
  disallowedTools: 'tools that Claude Code is refused',
  permissionMode: 'the mode in which Claude Code starts',
  maxTurns: 'with `bottle claude ... -p`: the most turns',
  mcpServers:
    'MCP servers by name, `{type: http, url, headers}` or `{command, args, env}`; no credentials but `${NAME}` of a variable under `env`',
  hooks: "Claude Code's hooks, by event; they run in the machine",
  background: 'of Claude Code; not followed',
  effort: '`low`, `medium`, `high`, `xhigh` or `max` (not codex)',
  isolation: 'of Claude Code; not followed',
  initialPrompt: 'the first message, where `--prompt` gives none',
};

export const agentSchema = z.strictObject({
  bottle: manifestName.optional().describe('the bottle file it lives in; `bottle up --bottle` names others'),
  skills: z
    .array(skillName, 'expected a list of skill names')
    .max(200, 'expected at most 200 skills')
    .optional()
    .describe('folders looked up in `~/.bottle/skills`, then in `~/.claude/skills`'),
  'git-gate': z
    .strictObject({ user: gitUser.optional().describe('`name`, `email` of who commits') })
    .optional()
    .describe("who commits; the repositories are the bottle's"),
  env: env
    .optional()
    .describe('as in a bottle file, and wins over it; an agent file of a repository takes nothing from the host'),
  driver: driver.optional().describe("wins over the bottle's"),
  image: image.optional().describe("wins over the bottle's; not in a repository"),
  resources: resources.optional().describe("each wins over the bottle's"),
  ...(Object.fromEntries(
    CLAUDE_CODE_KEYS.map((key) => [key, z.unknown().optional().describe(MEANINGS[key])]),
  ) as Record<(typeof CLAUDE_CODE_KEYS)[number], z.ZodOptional<z.ZodUnknown>>),
});

export type AgentManifest = z.output<typeof agentSchema>;
