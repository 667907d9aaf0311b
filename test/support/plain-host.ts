/** Hosts that speak plain HTTP, beside a world's own: one container of many names that remembers what it was asked. */
import type Dockerode from 'dockerode';
import type { DockerSite } from './docker-site.ts';
import { runIn } from './run-in-container.ts';

/** Answers of every host, told by path. */
export interface Asked {
  port: number;
  method: string;
  /** As it came in: a path, or an authority. */
  target: string;
  headers: Record<string, string>;
  body: string;
}

export interface PlainHost {
  readonly container: string;
  /** IPv4 on the network. */
  readonly address: string;
  /** What every name and port was asked, oldest first. */
  asked(): Promise<Asked[]>;
}

const PORTS = [80, 8080, 9099];

/** Removed with the site's strangers. @param names what it is called on the network */
export async function plainHost(site: DockerSite, network: string, names: readonly string[]): Promise<PlainHost> {
  const container: Dockerode.Container = await site.stranger({
    Cmd: ['tini', '--', 'node', '-e', SERVER, ...PORTS.map(String)],
    User: 'root',
    HostConfig: { NetworkMode: network },
    NetworkingConfig: { EndpointsConfig: { [network]: { Aliases: [...names] } } },
  });
  const asked = async (): Promise<Asked[]> => {
    const { stdout, stderr } = await runIn(site, container.id, [
      'curl',
      '-sS',
      '--noproxy',
      '*',
      'http://127.0.0.1:9000/',
    ]);
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout) as Asked[];
  };
  for (let left = 100; left > 0; left--)
    if (
      await asked().then(
        () => true,
        () => false,
      )
    )
      break;
  const { NetworkSettings } = await container.inspect();
  return { container: container.id, address: NetworkSettings.Networks[network]?.IPAddress ?? '', asked };
}

const SERVER = `
const http = require('node:http');
const asked = [];
for (const port of process.argv.slice(1).map(Number)) {
  http.createServer(async (request, response) => {
    const { method, url: target, headers } = request;
    const entry = { port, method, target, headers, body: '' };
    asked.push(entry);
    for await (const chunk of request) entry.body += chunk.toString('latin1').slice(0, 1e5);
    response.end('plain ' + method + ' ' + target);
  }).listen(port, '0.0.0.0');
}
http.createServer((_, response) => response.end(JSON.stringify(asked))).listen(9000, '127.0.0.1');`;
