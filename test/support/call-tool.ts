/** The agent's calls of its operator, without an agent. */
import { bottleName, bundleName, machineName } from '../../src/core/names.ts';
import { docker } from './installation.ts';
import { runIn } from './run-in-container.ts';

/** One call of an MCP tool, as the agent makes it. */
export async function callTool(id: string, name: string, args: object): Promise<Record<string, unknown>> {
  const { NetworkSettings } = await docker.getContainer(bundleName(id)).inspect();
  const bundleIp = NetworkSettings.Networks[bottleName(id)]?.IPAddress;
  const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const { stdout } = await runIn({ docker }, machineName(id), [
    ...['curl', '-s', '--noproxy', '*', '-H', 'content-type: application/json'],
    ...['-H', 'accept: application/json, text/event-stream', '-d', JSON.stringify(body)],
    `http://${bundleIp}:9100/mcp`,
  ]);
  const json = stdout.trimStart().startsWith('{') ? stdout : (/^data: (.*)$/m.exec(stdout)?.[1] ?? stdout);
  return JSON.parse(json).result.structuredContent as Record<string, unknown>;
}
