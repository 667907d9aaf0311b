/** What an agent file asks of the agent's own program, in Claude Code's words; each provider tells its program in its own. */

/** As Claude Code's `mcpServers` have it: `{type, url, headers}` or `{command, args, env}`. No credentials. */
export type McpServer = Readonly<Record<string, unknown>>;

export interface AgentSettings {
  readonly model?: string;
  readonly effort?: string;
  readonly permissionMode?: string;
  /** Of one run that prints its answer. */
  readonly maxTurns?: number;
  /** Built-in tools that it has; all by default. */
  readonly tools?: readonly string[];
  readonly disallowedTools?: readonly string[];
  readonly mcpServers?: Readonly<Record<string, McpServer>>;
  /** Event to its hooks. */
  readonly hooks?: Readonly<Record<string, unknown>>;
}
