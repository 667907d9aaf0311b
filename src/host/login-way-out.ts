/**
 * Whether an agent that logs in by itself gets to its model. Egress tries its own way out; where it has no route nobody would,
 * so the host asks in the bundle's container with each delivery, and `check` tells what became of it. In memory: another
 * worker does not know, and says nothing.
 */
import type Dockerode from 'dockerode';
import type { UpstreamProxy } from '../core/network-proxy.ts';
import { loginHost } from '../core/providers/login-host.ts';
import type { Reached, ReachQuestion, WayOutProblem } from '../core/reach.ts';
import type { BundleInput } from '../core/step-io.ts';
import { readHostFiles } from './secrets.ts';
import { tryWayOutOf } from './way-out.ts';

const PORT = 443;
/** All of it; nobody waits longer. */
const WAY_OUT_MS = 3000;

interface Trial {
  host: string;
  reached: Promise<Reached | undefined>;
}

const trials = new Map<string, Trial>();

/**
 * Begins, and holds nobody up.
 * @param bundle its container, which runs
 * @param proxy by which its scanner goes out
 */
export function beginLoginTrial(
  bundle: Dockerode.Container,
  { bottle, plans }: Pick<BundleInput, 'bottle' | 'plans'>,
  proxy: UpstreamProxy | undefined,
): void {
  const host = loginHost(plans);
  if (host === undefined) {
    trials.delete(bottle.id);
    return;
  }
  const reached = (async () => {
    const ca = plans.ca === null ? null : ((await readHostFiles([plans.ca])).get(plans.ca) ?? null);
    const question: ReachQuestion = { host, port: PORT, ca, private: false, proxy, timeoutMs: WAY_OUT_MS };
    return tryWayOutOf(bundle, question);
  })();
  // That it could not be tried says nothing of the way out.
  trials.set(bottle.id, { host, reached: reached.catch(() => undefined) });
}

export const forgetLoginTrial = (id: string): void => {
  trials.delete(id);
};

/** Who was not reached, once that is known; undefined for nobody, or where nothing was tried. */
export async function loginProblem(id: string): Promise<WayOutProblem | undefined> {
  const trial = trials.get(id);
  const reached = await trial?.reached;
  if (trial === undefined || reached === undefined || reached.reached) return undefined;
  return { host: trial.host, why: reached.why };
}
