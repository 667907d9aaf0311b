/** Which Engines a bottle can be kept on. The one table of those that were tried: README and `bottle doctor` say it. */
import type Dockerode from 'dockerode';
import { BottleError } from '../core/errors.ts';
import { engine } from './docker.ts';
import { type EngineFacts, engineFacts } from './engine-facts.ts';

/** Docker Engines that the tests run on (`npm test` on the first that is here, `npm run test:engines` on the others). */
export const TRIED_ENGINES = [
  { version: '20.10', api: '1.41' },
  { version: '26.1', api: '1.45' },
  { version: '28.5', api: '1.51' },
] as const;

/** What stands in README: `20.10, 26.1 and 28.5`. */
export function triedText(): string {
  const versions = TRIED_ENGINES.map(({ version }) => version);
  return `${versions.slice(0, -1).join(', ')} and ${versions.at(-1)}`;
}

/** Whether an Engine of that major version was tried, run as this one is. */
export function wasTried({ product, version, rootless }: EngineFacts): boolean {
  const major = (text: string): string => text.split('.')[0] as string;
  return (
    product === 'Docker Engine' && !rootless && TRIED_ENGINES.some((tried) => major(tried.version) === major(version))
  );
}

/** `Docker Engine 28.5.2 (rootless)`. */
export function engineName({ product, version, rootless }: EngineFacts): string {
  return `${product} ${version}${rootless ? ' (rootless)' : ''}`;
}

/**
 * Why a bottle on it would not be what it must be, as was seen when it was tried.
 * @returns undefined when nothing is known against it
 */
export function unsupported(facts: EngineFacts): { why: string; hint: string } | undefined {
  if (facts.product === 'Podman')
    return {
      // netavark knows no bridge without an address, and takes the option for it without a word.
      why: "the bridges that Podman makes keep an address of the host's, so a machine would reach the host",
      hint: `use a Docker Engine (docker context use, or DOCKER_HOST): ${triedText()} were tried`,
    };
  const { memory, pids } = facts.limits;
  if (memory && pids) return undefined;
  const lacks = [...(memory ? [] : ['memory']), ...(pids ? [] : ['processes'])].join(' and ');
  return {
    why: `it cannot limit the ${lacks} of a machine, which could then take all that this computer has`,
    hint: facts.rootless
      ? 'a rootless Engine needs cgroup v2, with the controllers memory and pids delegated to your user; or use one with root'
      : 'turn the cgroup controllers memory and pids on (kernel command line: cgroup_enable=memory), then restart Docker',
  };
}

/** @throws BottleError `ENGINE_UNSUPPORTED`, `DOCKER_UNREACHABLE` */
export async function assertSupported(docker: Dockerode): Promise<void> {
  const facts = await engine('ask for its version', () => engineFacts(docker));
  const against = unsupported(facts);
  if (against === undefined) return;
  throw new BottleError('ENGINE_UNSUPPORTED', `no bottle can run on ${engineName(facts)}: ${against.why}`, {
    hint: against.hint,
  });
}
