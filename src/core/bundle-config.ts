/**
 * What a bundle's init is given by the host, and hands on: one slice a daemon, each with just what that daemon needs.
 * It may hold secrets, so it is made in the step that delivers it, goes through the container's standard input, and is
 * kept in memory only: never in a history, an environment, a label or a file that another daemon can read.
 */
import type { UpstreamProxy } from './network-proxy.ts';
import type { RequestView } from './requests.ts';

/** One address and port to listen on. */
export interface Listen {
  host: string;
  port: number;
}

/** Gateway API's HTTPRoute words, as the original bot-bottle took them over. */
export interface PathMatch {
  type: 'prefix' | 'exact' | 'regex';
  value: string;
}

export interface HeaderMatch {
  type: 'exact' | 'regex';
  /** Lower case. */
  name: string;
  value: string;
}

/** A request must fit at least one; an empty list of methods or paths means any. */
export interface RouteMatch {
  /** Upper case. */
  methods: string[];
  paths: PathMatch[];
  /** All of them must fit. */
  headers?: HeaderMatch[];
  /** ISO 8601: of a grant that widens a route for a time; fits nothing from then on. */
  expiresAt?: string;
}

export interface EgressRouteConfig {
  /** First segment of the route's address: `http://egress:9099/<id>/...`; lower case, `[a-z0-9.:_-]+`. */
  id: string;
  /** `https://host[:port][/base]`, without a slash at its end; what follows the id is appended. */
  upstream: string;
  /** Empty: every request fits. */
  matches: RouteMatch[];
  /** The header that is set on the way out, whole; null for a route that needs no credential. */
  auth: { header: string; value: string } | null;
  /** The credential as it might be echoed by the upstream (header value and bare secret): replaced in what it answers. */
  secrets: string[];
  /** The upstream's name may lead to a private address. */
  private: boolean;
  /** PEM of the upstream's own CA, added to the usual ones; null for none. */
  ca: string | null;
  /** ISO 8601: refused from then on, also when nobody takes the route away; null for no end. */
  expiresAt: string | null;
}

export interface EgressConfig {
  listen: Listen;
  /** Longer answers, other than event streams, are refused or broken off: the scanner would cut them unseen. Null: none. */
  maxAnswerBytes: number | null;
  routes: EgressRouteConfig[];
  proxy?: UpstreamProxy | undefined;
}

export type GitAuth =
  | { kind: 'ssh-key' /** The private key's text. */; key: string /** known_hosts lines. */; knownHosts: string }
  | { kind: 'token'; user: string; token: string };

export interface GitRepoConfig {
  /** `[a-z0-9][a-z0-9._-]*`; served at `http://<bundle>:9418/<name>.git`. */
  name: string;
  /** `https://...` or `ssh://...`. */
  upstream: string;
  auth: GitAuth | null;
  /** Globs (`*` within a segment, `**` across) of branch names that may be pushed; empty: every branch. */
  branches: string[];
  allowForce: boolean;
  allowDelete: boolean;
  /** PEM of the upstream's own CA; null for none. */
  ca: string | null;
}

export interface GitGateConfig {
  listen: Listen;
  repos: GitRepoConfig[];
  proxy?: UpstreamProxy | undefined;
}

/** What supervise tells the agent of a route: never a credential. */
export interface RouteView {
  /** Where the agent sends its requests: `http://egress:9099/<id>` for a route, `https://<host>` for an allowed host. */
  url: string;
  upstream: string;
  methods: string[];
  paths: PathMatch[];
  credential: boolean;
  expiresAt: string | null;
}

export interface SuperviseConfig {
  listen: Listen;
  /** More than this many undecided requests are refused. */
  maxPending: number;
  routes: RouteView[];
  /** Names of the repositories that git-gate serves. */
  repositories: string[];
  /** What the host knows of; decided ones carry the answer. */
  requests: RequestView[];
}

/** The scanner in front: the real pipelock with its configuration file, or the allow-list proxy in its place. */
export type PipelockConfig =
  | {
      kind: 'pipelock';
      listen: Listen;
      yaml: string;
      /** The bottle's own, PEM, to read HTTPS with; null: it makes itself one that no machine trusts. */
      ca: { cert: string; key: string } | null;
      /** PEM of a CA that upstreams may have, added to the usual ones; null for none. */
      upstreamCa: string | null;
    }
  | {
      kind: 'allow-list';
      listen: Listen;
      /** Entries of allow-list.ts. */
      allow: string[];
      /** Egress' own address; null where it does not run. */
      egress: string | null;
      proxy?: UpstreamProxy | undefined;
    };

/** Where egress is found by its name; what is asked there goes to the scanner. */
export interface FrontConfig {
  listen: Listen;
  scanner: Listen;
}

/** A daemon that is absent is not started. */
export interface BundleConfig {
  pipelock?: PipelockConfig;
  front?: FrontConfig;
  egress?: EgressConfig;
  'git-gate'?: GitGateConfig;
  supervise?: SuperviseConfig;
}

/** One line of JSON on init's standard input. */
export interface Delivery {
  /** Told back once every daemon has taken its slice. */
  revision: string;
  config: BundleConfig;
}
