/**
 * Bottle files on top of each other, with where each value came from. The rules are the original's (PRDs 0025 and 0065):
 * variables, who commits, and limits merge name by name, the later one wins; several parents add their routes, hosts and
 * repositories up; a file that says `egress`, `git-gate.repos` or `allow` itself takes nothing of theirs.
 */
import type { AgentManifest } from './agent-schema.ts';
import type { BottleManifest } from './bottle-schema.ts';
import { pathText } from './key-path.ts';
import type { Position, Problem } from './problems.ts';

/** Where a value was written. */
export interface Origin {
  file: string;
  position: Position | null;
}

interface Sourced<Value> {
  value: Value;
  origin: Origin;
}

type Named<Value> = Record<string, Sourced<Value>>;
type Egress = NonNullable<BottleManifest['egress']>;
type Route = NonNullable<Egress['routes']>[number];
type Repo = NonNullable<NonNullable<BottleManifest['git-gate']>['repos']>[string];
/**
 * What was said of one name, an entry for each address it was given. The last one counts; the others are kept since a file
 * that is put beside may name their address again, and how files are bracketed must not matter.
 */
type RepoEntries = readonly Sourced<Repo>[];

/** What a bottle is, after all files it was made from. */
export interface Layer {
  env: Named<string>;
  provider: Sourced<NonNullable<BottleManifest['agent_provider']>> | undefined;
  user: Named<string>;
  /** Undefined: not declared, so what was below stays. */
  repos: Record<string, RepoEntries> | undefined;
  routes: Sourced<Route>[] | undefined;
  log: Sourced<NonNullable<Egress['log']>> | undefined;
  allow: Sourced<string>[] | undefined;
  supervise: Sourced<boolean> | undefined;
  intercept: Sourced<boolean> | undefined;
  driver: Sourced<NonNullable<BottleManifest['driver']>> | undefined;
  image: Sourced<NonNullable<BottleManifest['image']>> | undefined;
  resources: Named<number>;
  limits: Named<string>;
}

/** A file that was read, and how to find a place in it. */
export interface Written<Value> {
  value: Value;
  /** @param at where its key stands (default), or the value itself */
  origin(path: readonly PropertyKey[], at?: 'key' | 'value'): Origin;
}

/** One bottle file by itself. */
export function layerOf({ value, origin }: Written<BottleManifest>): Layer {
  const one = <Key extends keyof BottleManifest>(key: Key): Sourced<NonNullable<BottleManifest[Key]>> | undefined => {
    const found = value[key];
    return found === undefined
      ? undefined
      : { value: found as NonNullable<BottleManifest[Key]>, origin: origin([key]) };
  };
  const named = <Value>(
    values: Readonly<Record<string, Value | undefined>> | undefined,
    path: readonly PropertyKey[],
  ): Named<Value> =>
    Object.fromEntries(
      Object.entries(values ?? {}).flatMap(([name, each]) =>
        each === undefined ? [] : [[name, { value: each, origin: origin([...path, name]) }]],
      ),
    );
  const listed = <Value>(values: readonly Value[], path: readonly PropertyKey[]): Sourced<Value>[] =>
    values.map((each, at) => ({ value: each, origin: origin([...path, at]) }));
  const { egress, allow } = value;
  const gate = value['git-gate'];
  return {
    env: named(value.env, ['env']),
    provider: one('agent_provider'),
    user: named(gate?.user, ['git-gate', 'user']),
    repos:
      gate?.repos === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(named(gate.repos, ['git-gate', 'repos'])).map(([name, only]) => [name, [only]]),
          ),
    routes: egress === undefined ? undefined : listed(egress.routes ?? [], ['egress', 'routes']),
    log: egress?.log === undefined ? undefined : { value: egress.log, origin: origin(['egress', 'log']) },
    allow: allow === undefined ? undefined : listed(allow, ['allow']),
    supervise: one('supervise'),
    intercept: one('intercept'),
    driver: one('driver'),
    image: one('image'),
    resources: named(value.resources, ['resources']),
    limits: named(value.limits, ['limits']),
  };
}

export const EMPTY_LAYER: Layer = layerOf({ value: {}, origin: () => ({ file: '', position: null }) });

/** Bottles side by side, such as the parents of one, or those chosen at launch; later ones win. */
export function beside(one: Layer, other: Layer): Layer {
  return {
    ...above(one, other),
    repos: reposOf(one.repos, other.repos),
    routes: added(one.routes, other.routes),
    allow: added(one.allow, other.allow),
  };
}

/** A bottle on top of what it extends. */
export function above(parent: Layer, child: Layer): Layer {
  return {
    env: { ...parent.env, ...child.env },
    provider: child.provider ?? parent.provider,
    user: { ...parent.user, ...child.user },
    repos: child.repos ?? parent.repos,
    routes: child.routes ?? parent.routes,
    log: child.log ?? parent.log,
    allow: child.allow ?? parent.allow,
    supervise: child.supervise ?? parent.supervise,
    intercept: child.intercept ?? parent.intercept,
    driver: child.driver ?? parent.driver,
    image: child.image ?? parent.image,
    resources: { ...parent.resources, ...child.resources },
    limits: { ...parent.limits, ...child.limits },
  };
}

/** Of a repository that both name, the later one wins key by key; with another address it is another, which gets nobody else's key. */
function reposOf(one: Layer['repos'], other: Layer['repos']): Layer['repos'] {
  if (one === undefined || other === undefined) return one ?? other;
  const both = Object.entries(other).map(([name, entries]) => {
    const earlier = Object.hasOwn(one, name) ? (one[name] as RepoEntries) : [];
    const later = entries.map(({ value, origin }) => {
      const first = earlier.find((each) => each.value.url === value.url)?.value;
      return { value: { ...first, ...value }, origin };
    });
    const rest = earlier.filter(({ value }) => !entries.some((each) => each.value.url === value.url));
    return [name, [...rest, ...later]] as const;
  });
  return { ...one, ...Object.fromEntries(both) };
}

/** Of each name, what counts. */
const reposThatCount = (repos: Record<string, RepoEntries>): Named<Repo> =>
  Object.fromEntries(Object.entries(repos).flatMap(([name, entries]) => entries.slice(-1).map((last) => [name, last])));

/** What two files share (a common parent's, reached twice) counts once. */
function added<Value>(
  one: Sourced<Value>[] | undefined,
  other: Sourced<Value>[] | undefined,
): Sourced<Value>[] | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  const known = new Set(one.map(({ value }) => JSON.stringify(value)));
  return [...one, ...other.filter(({ value }) => !known.has(JSON.stringify(value)))];
}

/** An agent in its bottle: who commits, variables and limits of the machine are its own if it says so. */
export function withAgent(bottle: Layer, agent: Written<AgentManifest>): Layer {
  const { env, driver, image, resources } = agent.value;
  const user = agent.value['git-gate']?.user;
  return above(
    bottle,
    layerOf({
      ...agent,
      value: {
        ...(env === undefined ? {} : { env }),
        ...(driver === undefined ? {} : { driver }),
        ...(image === undefined ? {} : { image }),
        ...(resources === undefined ? {} : { resources }),
        ...(user === undefined ? {} : { 'git-gate': { user } }),
      },
    }),
  );
}

/** The merged bottle as if one file had said it all, without `extends`. */
export function merged(layer: Layer): BottleManifest {
  const plain = <Value>(values: Named<Value>): Record<string, Value> | undefined => {
    const entries = Object.entries(values).map(([name, { value }]) => [name, value] as const);
    return entries.length === 0 ? undefined : Object.fromEntries(entries);
  };
  const user = plain(layer.user);
  const repos = layer.repos === undefined ? undefined : plain(reposThatCount(layer.repos));
  const routes = layer.routes?.map(({ value }) => value);
  return defined({
    env: plain(layer.env),
    agent_provider: layer.provider?.value,
    'git-gate': user === undefined && repos === undefined ? undefined : defined({ user, repos }),
    egress: routes === undefined && layer.log === undefined ? undefined : defined({ routes, log: layer.log?.value }),
    supervise: layer.supervise?.value,
    allow: layer.allow?.map(({ value }) => value),
    intercept: layer.intercept?.value,
    driver: layer.driver?.value,
    image: layer.image?.value,
    resources: plain(layer.resources),
    limits: plain(layer.limits),
  }) as BottleManifest;
}

/** Every value's key path in {@link merged}, and where it was written, in the order of the merged manifest. */
export function originsOf(layer: Layer): { path: PropertyKey[]; origin: Origin }[] {
  const one = (path: PropertyKey[], sourced: Sourced<unknown> | undefined) =>
    sourced === undefined ? [] : [{ path, origin: sourced.origin }];
  const named = (path: PropertyKey[], values: Named<unknown> | undefined) =>
    Object.entries(values ?? {}).flatMap(([name, sourced]) => one([...path, name], sourced));
  const listed = (path: PropertyKey[], values: Sourced<unknown>[] | undefined) =>
    (values ?? []).flatMap((sourced, at) => one([...path, at], sourced));
  return [
    ...named(['env'], layer.env),
    ...one(['agent_provider'], layer.provider),
    ...named(['git-gate', 'user'], layer.user),
    ...named(['git-gate', 'repos'], layer.repos && reposThatCount(layer.repos)),
    ...listed(['egress', 'routes'], layer.routes),
    ...one(['egress', 'log'], layer.log),
    ...one(['supervise'], layer.supervise),
    ...listed(['allow'], layer.allow),
    ...one(['intercept'], layer.intercept),
    ...one(['driver'], layer.driver),
    ...one(['image'], layer.image),
    ...named(['resources'], layer.resources),
    ...named(['limits'], layer.limits),
  ];
}

/**
 * What no single file can be blamed for: routes that lead to one host.
 * @param idOf the one spelling of a route's host
 * @param taken ids that are not free, and whose they are
 */
export function clashes(layer: Layer, idOf: (host: string) => string, taken: ReadonlyMap<string, string>): Problem[] {
  const seen = new Map<string, Origin>();
  return (layer.routes ?? []).flatMap(({ value, origin }, at) => {
    const id = idOf(value.host);
    const first = seen.get(id);
    const whose = taken.get(id);
    if (first === undefined) seen.set(id, origin);
    const message =
      whose !== undefined
        ? `expected another host: ${id} is the name of ${whose}`
        : first === undefined
          ? undefined
          : `expected one route a host: ${id} has another at ${placeText(first)}`;
    if (message === undefined) return [];
    return [{ severity: 'error' as const, ...origin, key: pathText(['egress', 'routes', at, 'host']), message }];
  });
}

/** `file:line`. */
export const placeText = ({ file, position }: Origin): string =>
  position === null ? file : `${file}:${position.line}`;

function defined<Values extends object>(values: Values): Partial<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<Values>;
}
