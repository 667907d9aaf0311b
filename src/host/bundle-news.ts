/** What a bundle's log tells while its bottle is ready: changed daemons, the agent's requests, refused credentials. */
import { parseAskLine } from '../core/asks.ts';
import { type DaemonState, parseStatusLine } from '../core/daemons.ts';
import { parseCredentialRefused } from '../core/egress-routes.ts';
import { bundleName, LABEL } from '../core/names.ts';
import type { WatchNews } from '../core/step-io.ts';
import { inspectContainer } from './container.ts';
import { linesAfter } from './container-log.ts';
import type { DockerHost } from './docker.ts';

export type BundleNews = Omit<WatchNews, 'steps'>;

/** A daemon that is started again is back in less than this; one that comes and goes is told of no more often. */
const SETTLE_MS = 2000;
/** An agent that asks several things at once is heard as one. */
const TOGETHER_MS = 50;

/**
 * Waits for the first news after `from`, and a moment longer for what belongs to it.
 * @returns undefined when the bundle's log ends or `signal` aborts before there is any
 * @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE`
 */
export async function bundleNews(
  host: DockerHost,
  id: string,
  from: { daemons: Readonly<Record<string, DaemonState>>; cursor: string | null },
  signal: AbortSignal,
): Promise<BundleNews | undefined> {
  const found = await inspectContainer(host, bundleName(id));
  if (found?.Config.Labels[LABEL.owner] !== host.owner) return undefined;
  const enough = new AbortController();
  const news: BundleNews = { daemons: null, asked: [], refused: [], cursor: from.cursor };
  const changed = (): boolean => news.daemons !== null && !sameStates(news.daemons, from.daemons);
  const isAny = (): boolean => changed() || news.asked.length + news.refused.length > 0;
  let timer: { due: number; id: NodeJS.Timeout } | undefined;
  const endWithin = (ms: number): void => {
    const due = Date.now() + ms;
    if (timer !== undefined && timer.due <= due) return;
    clearTimeout(timer?.id);
    timer = { due, id: setTimeout(end, ms) };
  };
  /** A daemon that is back where it was by then is no news. */
  function end(): void {
    timer = undefined;
    if (isAny()) enough.abort();
  }
  const either = AbortSignal.any([signal, enough.signal]);
  for await (const { at, line } of linesAfter(host.docker.getContainer(found.Id), from.cursor, either)) {
    news.cursor = at;
    const heard = heardIn(line, at);
    if (heard === undefined) continue;
    if (heard.daemons !== undefined) news.daemons = heard.daemons;
    if (heard.asked !== undefined) news.asked.push(heard.asked);
    if (heard.refused !== undefined) news.refused.push(heard.refused);
    if (changed()) endWithin(SETTLE_MS);
    if (news.asked.length + news.refused.length > 0) endWithin(TOGETHER_MS);
  }
  clearTimeout(timer?.id);
  if (!isAny()) return undefined;
  return { ...news, daemons: changed() ? news.daemons : null };
}

interface Heard {
  daemons?: Record<string, DaemonState>;
  asked?: BundleNews['asked'][number];
  refused?: BundleNews['refused'][number];
}

/** A daemon can only write lines that begin with its own name, so each kind counts from one daemon alone. */
function heardIn(line: string, at: string): Heard | undefined {
  const states = parseStatusLine(line);
  if (states !== undefined) return { daemons: states };
  const asked = after('[supervise] ', line, parseAskLine);
  if (asked !== undefined) return { asked };
  const refused = after('[egress] ', line, parseCredentialRefused);
  return refused === undefined ? undefined : { refused: { ...refused, at } };
}

const after = <Value>(prefix: string, line: string, parse: (rest: string) => Value | undefined): Value | undefined =>
  line.startsWith(prefix) ? parse(line.slice(prefix.length)) : undefined;

function sameStates(one: Readonly<Record<string, DaemonState>>, other: Readonly<Record<string, DaemonState>>): boolean {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
