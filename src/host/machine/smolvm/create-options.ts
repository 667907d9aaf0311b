/** What a machine is made from, as `smolvm machine create` is told it: every option that matters is said, none is left to a default. */
import type { MachineSpec } from '../driver.ts';
import type { ImageSource } from './image.ts';
import { LISTEN_IN_MACHINE, socketOptions } from './relay.ts';

/** GiB, and no more than is written: what the image and the agent fill. */
const STORAGE_GIB = 20;
/** Made the same by every version that makes the same; in the hash of what a machine is made from. */
const LAYOUT = 2;

/** What another of makes another machine. */
export function madeFrom({ network, link, env, resources }: MachineSpec, { option, id }: ImageSource): unknown {
  const { bundleIp } = network;
  return { layout: LAYOUT, option, image: id, link, bundleIp, env, resources, storage: STORAGE_GIB };
}

/**
 * @param file what {@link ImageSource.use} gave for `option`
 * @param directory for the sockets of a machine that is linked by them
 */
export function createArgs(
  name: string,
  { network, link, env, resources }: MachineSpec,
  option: ImageSource['option'],
  file: string,
  labels: Record<string, string>,
  directory: string,
): string[] {
  const repeated = (flag: string, pairs: Record<string, string>): string[] =>
    Object.entries(pairs).flatMap(([key, value]) => [flag, `${key}=${value}`]);
  return [
    ...['--name', name],
    ...[option, file],
    ...['--cpus', String(Math.ceil(resources.cpus))],
    ...['--mem', String(resources.memoryMiB)],
    ...['--storage', String(STORAGE_GIB)],
    ...(link === 'sockets' ? socketOptions(directory) : addressOptions(network)),
    ...repeated('--label', labels),
    ...repeated('-e', env),
    // Instead of whatever the image would run, which may end; tini reaps what the agent leaves behind.
    ...['--', 'tini', '--', ...(link === 'sockets' ? ['sh', '-c', LISTEN_IN_MACHINE] : ['sleep', 'infinity'])],
  ];
}

const addressOptions = ({ bundleIp }: MachineSpec['network']): string[] => [
  ...['--allow-cidr', `${bundleIp}/32`],
  // As a host it is no more than the same address again, but with a list of hosts smolvm's resolver, which no list of
  // addresses holds back, answers for these hosts alone: otherwise whatever is asked of it reaches the internet.
  ...['--allow-host', bundleIp],
];
