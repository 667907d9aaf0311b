/**
 * What each daemon of a bundle is for in one bottle, as pure data without secrets: cut from the manifest by `prepare`,
 * carried in the history, and rendered to what the daemons read by render-bundle.ts.
 */
import type { PathMatch, RouteMatch } from './bundle-config.ts';
import { DAEMON_NAMES, type DaemonName } from './daemons.ts';
import type { ProxyPlan } from './network-proxy.ts';
import type { SecretRef } from './secret-ref.ts';

export type { PathMatch, RouteMatch };

/** What stands in pipelock's place where the program itself cannot be had. */
export type Scanner = 'pipelock' | 'allow-list';

export interface PipelockPlan {
  /** Hosts that may be reached without a credential, as entries of allow-list.ts. */
  allow: string[];
  /** Whether it reads HTTPS to these hosts, with a CA of the bottle's own, instead of tunnelling it. */
  intercept: boolean;
}

/** How a credential is put on a request. */
export type RouteAuth =
  | { scheme: 'Bearer' | 'token'; secret: SecretRef }
  | { scheme: 'basic'; user: string; secret: SecretRef }
  | { scheme: 'header'; header: string; secret: SecretRef };

export interface EgressRoutePlan {
  id: string;
  upstream: string;
  matches: RouteMatch[];
  auth: RouteAuth | null;
  private: boolean;
  /** PEM file on the host; null for none. */
  ca: string | null;
}

export interface EgressPlan {
  routes: EgressRoutePlan[];
}

export type GitKey =
  | { kind: 'ssh-key'; secret: SecretRef /** As in a known_hosts line: `ssh-ed25519 AAAA...`. */; hostKey: string }
  | { kind: 'token'; user: string; secret: SecretRef };

export interface GitRepoPlan {
  name: string;
  upstream: string;
  key: GitKey | null;
  branches: string[];
  allowForce: boolean;
  allowDelete: boolean;
  ca: string | null;
}

export interface GitGatePlan {
  repos: GitRepoPlan[];
}

export interface SupervisePlan {
  maxPending: number;
}

/** A daemon whose plan is null is not started. */
export interface BundlePlans {
  pipelock: PipelockPlan;
  egress: EgressPlan | null;
  gitGate: GitGatePlan | null;
  supervise: SupervisePlan | null;
  /**
   * PEM file on the host with CAs that every upstream may have, such as a company's own, which the machine trusts as well;
   * null for none.
   */
  ca: string | null;
  /** Changes with what is in that file; histories from before the machine trusted it have none. */
  caDigest?: string | undefined;
  /** By which everything goes out that its list does not except; absent: directly. */
  proxy?: ProxyPlan | undefined;
}

/** The daemons that these plans need, in the order of {@link DAEMON_NAMES}; init's csv. */
export function daemonsOf(plans: BundlePlans): DaemonName[] {
  const needed: Record<DaemonName, boolean> = {
    pipelock: true,
    // What supervise grants may be a route of egress, so it has to be there beforehand.
    egress: plans.egress !== null || plans.supervise !== null,
    'git-gate': plans.gitGate !== null,
    supervise: plans.supervise !== null,
  };
  return DAEMON_NAMES.filter((name) => needed[name]);
}

/** Every reference to a secret in the plans, each once. */
export function secretRefsOf(plans: BundlePlans): SecretRef[] {
  const routes = (plans.egress?.routes ?? []).flatMap(({ auth }) => auth?.secret ?? []);
  const repos = (plans.gitGate?.repos ?? []).flatMap(({ key }) => key?.secret ?? []);
  const proxy = plans.proxy?.password ?? null;
  return [...new Set([...routes, ...repos, ...(proxy === null ? [] : [proxy])])];
}

/** Whether a machine of these plans has certificates in its store that its image has not. */
export const trustsMore = ({ pipelock, ca }: Pick<BundlePlans, 'pipelock' | 'ca'>): boolean =>
  pipelock.intercept || ca !== null;

/** Every PEM file on the host that the plans name, each once. */
export function caFilesOf(plans: BundlePlans): string[] {
  const routes = (plans.egress?.routes ?? []).flatMap(({ ca }) => ca ?? []);
  const repos = (plans.gitGate?.repos ?? []).flatMap(({ ca }) => ca ?? []);
  return [...new Set([...(plans.ca === null ? [] : [plans.ca]), ...routes, ...repos])];
}
