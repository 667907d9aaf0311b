/** What each daemon of a plan lets the agent do, in words: what a person should read before a launch. Pure. */
import { parseAllowEntry } from './allow-list.ts';
import type { EgressRoutePlan, GitRepoPlan, RouteMatch } from './bundle-plans.ts';
import { type DaemonName, EGRESS_URL } from './daemons.ts';
import type { Plan } from './plan.ts';

/** A line for each thing that is allowed; a daemon that does not run has none. */
export function allowances({
  bundle,
  daemons,
  scanner,
}: Pick<Plan, 'bundle' | 'daemons' | 'scanner'>): Partial<Record<DaemonName, string[]>> {
  const of: Record<DaemonName, string[]> = {
    pipelock: bundle.pipelock.allow.map((entry) =>
      hostLine(entry, bundle.pipelock.intercept && scanner === 'pipelock'),
    ),
    egress: (bundle.egress?.routes ?? []).flatMap(routeLines),
    'git-gate': (bundle.gitGate?.repos ?? []).map(repoLine),
    supervise:
      bundle.supervise === null ? [] : [`the agent may ask you, ${bundle.supervise.maxPending} things at a time`],
  };
  return Object.fromEntries(daemons.map((daemon) => [daemon, of[daemon]]));
}

function hostLine(entry: string, intercepted: boolean): string {
  const { host, below, ports, private: mayBePrivate, tunnel } = parseAllowEntry(entry);
  const name = below ? `every name below ${host}` : host;
  const how = intercepted && !tunnel ? 'read and scanned' : 'HTTPS passes unread';
  return `${name}, port ${ports.join(' and ')}: ${how}${mayBePrivate ? ', may be at a private address' : ''}`;
}

function routeLines({ id, upstream, matches, auth }: EgressRoutePlan): string[] {
  const credential = auth === null ? 'no credential' : `${auth.scheme} from ${auth.secret}`;
  const what = matches.length === 0 ? ['every request'] : matches.map(matchText);
  return [`${EGRESS_URL}/${id} -> ${upstream}: ${what.join('; ')}; ${credential}`];
}

function matchText({ methods, paths, headers = [] }: RouteMatch): string {
  const where =
    paths.map(({ type, value }) => (type === 'prefix' ? `${value}*` : `${type} ${value}`)).join(', ') || 'any path';
  const withHeaders =
    headers.length === 0 ? '' : ` with ${headers.map(({ name, value }) => `${name}: ${value}`).join(', ')}`;
  return `${methods.join(',') || 'any method'} ${where}${withHeaders}`;
}

function repoLine({ name, upstream, branches, allowForce, allowDelete, key }: GitRepoPlan): string {
  const extras = [...(allowForce ? ['force'] : []), ...(allowDelete ? ['delete'] : [])];
  const pushed = `push to ${branches.join(', ') || 'every branch'}${extras.length === 0 ? '' : ` (and ${extras.join(', ')})`}`;
  return `${name} -> ${upstream}: clone, fetch, ${pushed}; ${key === null ? 'no key' : `key from ${key.secret}`}`;
}
