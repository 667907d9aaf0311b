/** A bundle in which each daemon has something to do, and a look at its daemons from inside its container. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DaemonStatus } from '../../src/bundle/status-report.ts';
import type { BundlePlans, EgressRoutePlan, GitRepoPlan } from '../../src/core/bundle-plans.ts';
import type { DaemonName } from '../../src/core/daemons.ts';
import type { SecretRef } from '../../src/core/secret-ref.ts';
import type { DockerSite } from './docker-site.ts';
import { runIn } from './run-in-container.ts';

export const ALL_READY = { pipelock: 'ready', egress: 'ready', 'git-gate': 'ready', supervise: 'ready' };

/** A route to `https://<host>` with every method and path. */
export const routeTo = (host: string, change: Partial<EgressRoutePlan> = {}): EgressRoutePlan => ({
  id: host,
  upstream: `https://${host}`,
  matches: [],
  auth: null,
  private: true,
  ca: null,
  ...change,
});

export const repository = (name: string, upstream: string, change: Partial<GitRepoPlan> = {}): GitRepoPlan => ({
  name,
  upstream,
  key: null,
  branches: [],
  allowForce: false,
  allowDelete: false,
  ca: null,
  ...change,
});

/** All four daemons; nothing of the world outside is needed until the agent asks for it. */
export const fullPlans = (secrets: { route: SecretRef; repository: SecretRef }): Partial<BundlePlans> => ({
  egress: { routes: [routeTo('echo.test', { auth: { scheme: 'Bearer', secret: secrets.route } })] },
  gitGate: {
    repos: [
      repository('app', 'https://git.test/team/app.git', {
        key: { kind: 'token', user: 'agent', secret: secrets.repository },
      }),
    ],
  },
  supervise: { maxPending: 10 },
});

export type Daemons = Record<DaemonName, DaemonStatus>;

/** What init says of its daemons, at its own socket. */
export async function daemonsIn(site: Pick<DockerSite, 'docker'>, container: string): Promise<Daemons> {
  const ask = ['curl', '-sS', '--unix-socket', '/run/bottle/init.sock', 'http://init/'];
  const { stdout, stderr } = await runIn(site, container, ask);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout).daemons as Daemons;
}

/** Asks until `until` holds; fails with the last states after `seconds`. */
export async function daemonsUntil(
  site: Pick<DockerSite, 'docker'>,
  container: string,
  until: (daemons: Daemons) => boolean,
  seconds = 120,
): Promise<Daemons> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(50)) {
    const daemons = await daemonsIn(site, container).catch(() => undefined);
    if (daemons !== undefined && until(daemons)) return daemons;
    if (Date.now() > end) throw new Error(`not so after ${seconds} s: ${JSON.stringify(daemons)}`);
  }
}

export const statesOf = (daemons: Daemons): Record<string, string> =>
  Object.fromEntries(Object.entries(daemons).map(([name, { state }]) => [name, state]));

/** The processes of all daemons, by name: whether one was started anew shows here. */
export const pidsOf = (daemons: Daemons): (number | null)[] => Object.values(daemons).map(({ pid }) => pid);
