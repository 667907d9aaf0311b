/** The way to the operator, as MCP clients that read JSON have it. */

import type { McpServer } from './agent-settings.ts';

/**
 * @param url of the bottle's supervise daemon; null where there is none
 * @param own servers of the agent file
 */
export const mcpServers = (
  url: string | null,
  own: Readonly<Record<string, McpServer>> = {},
): { mcpServers: Record<string, McpServer> } => ({
  mcpServers: { ...own, ...(url === null ? {} : { supervise: { type: 'http', url } }) },
});
