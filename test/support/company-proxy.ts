/** The network of a company: one without a way out, but for a real proxy (Debian's tinyproxy) with a second foot in the world. */
import { randomBytes } from 'node:crypto';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { followLog } from '../../src/host/image-progress.ts';
import { runIn } from './run-in-container.ts';
import type { World } from './world.ts';

export interface CompanyNetwork {
  /** Name of the Docker network, whose only way out is the proxy. */
  readonly name: string;
  readonly proxy: {
    readonly host: string;
    readonly port: number;
    readonly username: string;
    readonly password: string;
  };
  /** Of the proxy on that network, which the host can dial. */
  readonly address: string;
  /** What the proxy was asked, a line each: `CONNECT model.test:443 HTTP/1.1`. */
  asked(): Promise<string[]>;
  /** Cuts the proxy off from the world, and lets it out again. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  dispose(): Promise<void>;
}

const LABEL = 'bottleworks-test.company';
const PORT = 3128;
const HOST = 'proxy.corp';

/** @param image the guest image, that of the proxy is made from */
export async function companyNetwork(docker: Dockerode, image: string, world: World): Promise<CompanyNetwork> {
  const random = randomBytes(5).toString('hex');
  const name = `bottle-company-${random}`;
  const [username, password] = ['smith', randomBytes(12).toString('hex')];
  const network = await docker.createNetwork({ Name: name, Internal: true, Labels: { [LABEL]: random } });
  let container: Dockerode.Container | undefined;
  const outside = docker.getNetwork(world.network.name);
  const mend = async (): Promise<void> => {
    if (container !== undefined) await outside.connect({ Container: container.id });
  };
  const dispose = async (): Promise<void> => {
    await container?.remove({ force: true, v: true });
    const { Containers = {} } = (await network.inspect()) as Dockerode.NetworkInspectInfo;
    for (const Container of Object.keys(Containers)) await network.disconnect({ Container, Force: true });
    await network.remove();
  };
  try {
    const config = [
      `Port ${PORT}`,
      'Listen 0.0.0.0',
      'Timeout 600',
      'LogLevel Connect',
      'MaxClients 100',
      // As most are set up: a tunnel is for TLS.
      'ConnectPort 443',
      `BasicAuth ${username} ${password}`,
    ].join('\n');
    container = await docker.createContainer({
      name: `${name}-proxy`,
      Image: await proxyImage(docker, image),
      Labels: { [LABEL]: random },
      User: 'root',
      Cmd: [
        'sh',
        '-c',
        'printf "%s\\n" "$1" >/tmp/tinyproxy.conf; exec tinyproxy -d -c /tmp/tinyproxy.conf',
        'sh',
        config,
      ],
      HostConfig: { NetworkMode: name },
      NetworkingConfig: { EndpointsConfig: { [name]: { Aliases: [HOST] } } },
    });
    await mend();
    await container.start();
    const up = 'for n in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:3128/ && exit 0; sleep 0.1; done; exit 1';
    const { exitCode } = await runIn({ docker }, container.id, ['sh', '-c', up]);
    if (exitCode !== 0) throw new Error(`the proxy does not listen: ${await logOf(container)}`);
  } catch (error) {
    await dispose();
    throw error;
  }
  const proxy = container;
  const { NetworkSettings } = await proxy.inspect();
  return {
    name,
    address: NetworkSettings.Networks[name]?.IPAddress ?? '',
    proxy: { host: HOST, port: PORT, username, password },
    asked: async () =>
      [...(await logOf(proxy)).matchAll(/Request \(file descriptor \d+\): (.*)/g)].map(([, line = '']) => line.trim()),
    cut: async () => {
      await outside.disconnect({ Container: proxy.id, Force: true });
    },
    mend,
    dispose,
  };
}

async function logOf(container: Dockerode.Container): Promise<string> {
  return (await container.logs({ stdout: true, stderr: true, follow: false })).toString();
}

/** Made once for each guest image. */
async function proxyImage(docker: Dockerode, guest: string): Promise<string> {
  const context = pack();
  const lines = [
    `FROM ${guest}`,
    'USER root',
    'RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends tinyproxy && rm -rf /var/lib/apt/lists/*',
  ];
  context.entry({ name: 'Dockerfile', mtime: new Date(0) }, `${lines.join('\n')}\n`);
  context.finalize();
  const tag = `bottleworks-test/company-proxy:${guest.split(':').at(-1)}`;
  const log = await docker.buildImage(context as unknown as NodeJS.ReadableStream, {
    t: tag,
    networkmode: 'host',
    rm: true,
    version: '1',
  });
  await followLog(docker, log);
  return tag;
}
