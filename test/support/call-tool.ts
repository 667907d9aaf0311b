/** The agent's calls of its operator, without an agent. */
import { bottleName, bundleName, machineName } from '../../src/core/names.ts';
import type { DockerHost } from '../../src/host/docker.ts';
import { docker } from './installation.ts';
import { runIn } from './run-in-container.ts';

/** One call of an MCP tool, as the agent makes it. @param on the Engine that the bottle is on */
export async function callTool(
  id: string,
  name: string,
  args: object,
  on: Pick<DockerHost, 'docker'> = { docker },
): Promise<Record<string, unknown>> {
  const { NetworkSettings } = await on.docker.getContainer(bundleName(id)).inspect();
  const bundleIp = NetworkSettings.Networks[bottleName(id)]?.IPAddress;
  const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const { stdout } = await runIn(on, machineName(id), [
    ...['curl', '-s', '--noproxy', '*', '-H', 'content-type: application/json'],
    ...['-H', 'accept: application/json, text/event-stream', '-d', JSON.stringify(body)],
    `http://${bundleIp}:9100/mcp`,
  ]);
  const json = stdout.trimStart().startsWith('{') ? stdout : (/^data: (.*)$/m.exec(stdout)?.[1] ?? stdout);
  return JSON.parse(json).result.structuredContent as Record<string, unknown>;
}
