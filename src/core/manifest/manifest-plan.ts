/** The parts of a plan that follow from the merged manifest alone. Pure. */
import { parseDuration } from '../duration.ts';
import type { Plan, PrivateVariable, Resources } from '../plan.ts';
import type { BottleManifest } from './bottle-schema.ts';

export const DEFAULT_RESOURCES: Readonly<Resources> = { cpus: 2, memoryMiB: 4096, pids: 1024 };

/** `${NAME}` is a variable of the host, `?` or `?question` what the operator is asked; anything else is itself. */
export function variables(env: BottleManifest['env'] = {}): Pick<Plan, 'env' | 'privateEnv'> {
  const entries = Object.entries(env).map(([name, value]) => [name, privateVariable(name, value) ?? value] as const);
  return {
    env: Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    privateEnv: Object.fromEntries(
      entries.filter((entry): entry is [string, PrivateVariable] => typeof entry[1] !== 'string'),
    ),
  };
}

function privateVariable(name: string, value: string): PrivateVariable | undefined {
  const host = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/.exec(value)?.[1];
  if (host !== undefined) return { from: 'host', variable: host };
  if (!value.startsWith('?')) return undefined;
  return { from: 'operator', question: value.slice(1).trim() || name };
}

export function limitsOf({ lifetime, idle }: NonNullable<BottleManifest['limits']> = {}): Plan['limits'] {
  const ms = (text: string | undefined): number | null => (text === undefined ? null : (parseDuration(text) ?? null));
  return { lifetimeMs: ms(lifetime), idleMs: ms(idle) };
}

/** @param defaults of the host, such as config.yaml's */
export function resourcesOf(
  manifest: BottleManifest['resources'] = {},
  defaults: { [Key in keyof Resources]?: number | undefined } = {},
): Resources {
  const first = (key: keyof Resources): number => manifest[key] ?? defaults[key] ?? DEFAULT_RESOURCES[key];
  return { cpus: first('cpus'), memoryMiB: first('memoryMiB'), pids: first('pids') };
}
