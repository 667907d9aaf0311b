/** What tells the programs of a machine the way out, and what is no matter of it. docs/programs.md has who reads what. */
import { EGRESS_NAME, PIPELOCK_PORT } from './daemons.ts';
import { ownNames } from './names.ts';
import type { NetworkFacts } from './step-io.ts';

export type MachineNetwork = Pick<NetworkFacts, 'name' | 'bundleIp' | 'machineIp'>;

/**
 * The proxy, in every spelling that is read. NO_PROXY names each address by itself, since few programs know ranges: the
 * machine itself in every form a server there is asked by, and the bundle, egress included, which passes on to the same
 * scanner whatever it is asked by its name (front.ts).
 */
export function proxyEnvironment(network: MachineNetwork): Record<string, string> {
  const proxy = `http://${network.bundleIp}:${PIPELOCK_PORT}`;
  const direct = directHosts(network).join(',');
  return {
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
  };
}

/** What leads programs to the proxy that do not read those. A manifest may set it otherwise. */
export function proxySettings(network: MachineNetwork): Record<string, string> {
  return {
    // `fetch` from Node 24.0 on, `http` and `https` from 24.5 and 22.21 on; older ones do not know it.
    NODE_USE_ENV_PROXY: '1',
    // Every JVM: Maven, Gradle and its wrapper, sbt, javac. Each says so in a line on its standard error, but
    // JDK_JAVA_OPTIONS says the same and reaches only `java`, and files would have to be there for each tool.
    JAVA_TOOL_OPTIONS: javaOptions(network),
    // Yarn from 2 on reads only its own.
    YARN_HTTP_PROXY: `http://${network.bundleIp}:${PIPELOCK_PORT}`,
    YARN_HTTPS_PROXY: `http://${network.bundleIp}:${PIPELOCK_PORT}`,
  };
}

/** As properties of java.net; the first three hosts would be direct anyway, unless others are named. */
function javaOptions(network: MachineNetwork): string {
  const { bundleIp } = network;
  const hosts = [
    'localhost',
    '127.*',
    '[::1]',
    ...directHosts(network).filter((host) => !/^(localhost|127\.|\[?::)/.test(host)),
  ];
  return [
    ...['http', 'https'].flatMap((scheme) => [
      `-D${scheme}.proxyHost=${bundleIp}`,
      `-D${scheme}.proxyPort=${PIPELOCK_PORT}`,
    ]),
    `-Dhttp.nonProxyHosts=${hosts.join('|')}`,
  ].join(' ');
}

function directHosts({ name, bundleIp, machineIp }: MachineNetwork): string[] {
  // Not `[::1]`: Node's fetch and Python's urllib know the address by that alone, but a program on httpx, the SDKs of the
  // models among them, then ends with "Invalid port" before it does anything.
  const loopback = ['localhost', '127.0.0.1', '::1', '0.0.0.0'];
  return [...new Set([bundleIp, EGRESS_NAME, ...loopback, ...ownNames(name), machineIp])];
}
