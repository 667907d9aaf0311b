/** What the tools of supervise do, and the MCP server around them. Loaded only once the agent calls. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type NodeIncomingMessageLike, toNodeHandler } from '@modelcontextprotocol/node';
import { type CallToolResult, createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { AskRefused, questionAsk, routeAsk } from '../core/asks.ts';
import type { SuperviseConfig } from '../core/bundle-config.ts';
import { inWords, requestAnswer, routeLine, summaryOf } from './supervise-answers.ts';
import type { RequestDesk } from './supervise-requests.ts';
import { CHECK_TOOL, INSTRUCTIONS, LIST_TOOL, QUESTION_TOOL, ROUTE_TOOL } from './supervise-tool-texts.ts';

/** Several times the longest thing that can be asked. */
const MAX_BODY_BYTES = 64 * 1024;
/** Streams that a client keeps open to hear of new tools, of which there are none. */
const MAX_SUBSCRIPTIONS = 16;

export interface ToolServer {
  /** Answers one request to the MCP path. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  close(): Promise<void>;
}

/** What the tools work on. */
export interface ToolSite {
  desk: RequestDesk;
  /** The configuration now in force. */
  config: () => SuperviseConfig;
}

/** The handler for 2026-07-28 and for clients of 2025 alike: every request is answered by a server of its own. */
export function serveTools(site: ToolSite): ToolServer {
  const handler = createMcpHandler(() => serverFor(site), {
    maxRequestBodySize: MAX_BODY_BYTES,
    maxSubscriptions: MAX_SUBSCRIPTIONS,
  });
  const handle = toNodeHandler(handler, { maxRequestBodySize: MAX_BODY_BYTES });
  return {
    // Node's own type says of optional properties that they may also be undefined, the SDK's does not.
    handle: (request, response) => handle(request as NodeIncomingMessageLike, response),
    close: () => handler.close(),
  };
}

function serverFor({ desk, config }: ToolSite): McpServer {
  const server = new McpServer(
    { name: 'supervise', version: '1.0.0' },
    { instructions: INSTRUCTIONS, capabilities: { tools: { listChanged: false } } },
  );
  const ask = (what: Parameters<RequestDesk['ask']>[0]) => {
    const { id, state } = desk.ask(what);
    return result({ requestId: id, status: state }, `${id}: ${state}. Use check_request to see what becomes of it.`);
  };

  server.registerTool('request_egress_route', ROUTE_TOOL, (wanted) => ask(routeAsk(wanted)));

  server.registerTool('ask_operator', QUESTION_TOOL, (wanted) => ask(questionAsk(wanted)));

  server.registerTool('check_request', CHECK_TOOL, async ({ requestId, waitSeconds = 0 }, { mcpReq }) => {
    await desk.decision(requestId, waitSeconds * 1000, mcpReq.signal);
    const request = desk.find(requestId);
    if (request === undefined) throw new AskRefused('there is no such request (any more): ask again, then check that');
    const answer = requestAnswer(request, config().routes);
    return result(answer, inWords(answer));
  });

  server.registerTool('list_routes', LIST_TOOL, () => {
    const { routes, repositories } = config();
    const pending = desk.pending().map(({ id, ask }) => ({ requestId: id, asked: summaryOf(ask) }));
    return result(
      { routes, repositories, pending },
      [
        ...listed('Routes', routes.map(routeLine)),
        ...listed('Git repositories', repositories),
        ...listed(
          'Waiting for the operator',
          pending.map(({ requestId, asked }) => `${requestId}: ${asked}`),
        ),
      ].join('\n'),
    );
  });

  return server;
}

/** An answer as data and as text. What is thrown instead becomes an error that the model is shown. */
function result(data: Record<string, unknown>, text: string): CallToolResult {
  return { structuredContent: data, content: [{ type: 'text', text }] };
}

function listed(title: string, lines: readonly string[]): string[] {
  return [`${title}:${lines.length === 0 ? ' none' : ''}`, ...lines.map((line) => `- ${line}`)];
}
