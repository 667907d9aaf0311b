/** The way to the operator, as MCP clients that read JSON have it. */

/** @param url of the bottle's supervise daemon */
export const mcpServers = (url: string) => ({ mcpServers: { supervise: { type: 'http', url } } });
