import { activityInfo, sleep } from '@temporalio/activity';
import { BottleError, type ErrorView, errorView } from '../core/errors.ts';
import type { Loss } from '../core/healing.ts';
import { noNews, type WatchInput, type WatchNews } from '../core/step-io.ts';
import { untilPlanIs } from '../host/bottle-state.ts';
import { bundleEvents } from '../host/bundle-events.ts';
import { bundleNews } from '../host/bundle-news.ts';
import { assertAnswers, untilSilent } from '../host/engine-pulse.ts';
import { machineDriver } from '../host/machine/drivers.ts';
import { untilIdle } from '../host/machine/idleness.ts';
import { memoryKills } from '../host/memory-events.ts';
import { untilProcessLimit } from '../host/process-limit.ts';
import { lossOf } from '../host/standing.ts';
import type { ActivityHost } from './activity-host.ts';

/**
 * Waits for the first thing that happens in a ready bottle: bundle or machine die, a daemon changes its state, the agent
 * asks something, an upstream refuses a credential, nothing runs any more, a process is killed for memory or
 * refused since there are as many as may be.
 * @throws BottleError `DOCKER_UNREACHABLE` when the Engine goes away, `WORKER_LOST` when the worker stops: in either
 *   case the next attempt looks again
 */
export async function watch(host: ActivityHost, input: WatchInput, signal: AbortSignal): Promise<WatchNews> {
  const over = new AbortController();
  const ended = AbortSignal.any([signal, host.stopping, over.signal]);
  try {
    if (input.blind === true) return await untilSeen(host, input, ended);
    return await Promise.race(
      [bundleDeath, machineDeath, silence, state, news, idleness, memory, processes].map((each) =>
        each(host, input, ended),
      ),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (host.stopping.aborted) throw new BottleError('WORKER_LOST', 'the worker stops; the next one watches on');
    // Told once, as what the bottle suffers from; the next watch then waits until it is over.
    const trouble = input.blind === true ? undefined : await engineTrouble(host);
    if (trouble === undefined) throw error;
    return { ...noNews(input.cursor), trouble };
  } finally {
    over.abort();
  }
}

/** Why the Engine does not answer; undefined when it does. */
async function engineTrouble(host: ActivityHost): Promise<ErrorView | undefined> {
  try {
    await assertAnswers(host.docker);
    return undefined;
  } catch (error) {
    return errorView(error);
  }
}

/** The Engine stands still: nothing breaks by it, and nobody would hear of anything any more. */
async function silence(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  const trouble: ErrorView = await untilSilent(host.docker, ended).catch(errorView);
  return { ...noNews(input.cursor), trouble };
}

const BLIND_MS = 1000;

/** Waits until the Engine answers again, and tells at once what is gone by then. */
async function untilSeen(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  for (;;) {
    try {
      await assertAnswers(host.docker);
      // It may fall silent again over the look.
      const seen = await Promise.race([deathNews(host, input), untilSilent(host.docker, ended)]);
      return { ...(seen ?? noNews(input.cursor)), trouble: null };
    } catch (error) {
      ended.throwIfAborted();
      if (errorView(error).code !== 'DOCKER_UNREACHABLE') throw error;
    }
    await sleep(BLIND_MS);
  }
}

async function state({ settings }: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  const wasGone = input.stateGone === true;
  await untilPlanIs(settings, input.bottle.id, wasGone, ended);
  const stoodMs = Date.now() - activityInfo().scheduledTimestampMs;
  return { ...noNews(input.cursor), state: wasGone ? 'back' : 'gone', stoodMs };
}

const SETTLE_MS = 500;

async function bundleDeath(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  // Subscribed before the first look, so that no death falls between the two.
  for await (const _event of bundleEvents(host, input.bottle.id, ended)) {
    const news = await deathNews(host, input);
    if (news !== undefined) return news;
  }
  throw new BottleError('DOCKER_UNREACHABLE', 'the Docker Engine went away while the bottle was watched');
}

async function machineDeath(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  for (;;) {
    await machineDriver(input.driver, host).untilStopped(input.bottle.id, ended);
    const news = await deathNews(host, input);
    if (news !== undefined) return news;
  }
}

/** @returns undefined when all is well again */
async function deathNews(host: ActivityHost, input: WatchInput): Promise<WatchNews | undefined> {
  // Who removes what runs kills it first, and a busy Engine takes its time between the two: what is to be done depends on
  // how it ends, so it has to look the same twice.
  let loss = await lossOf(host, input);
  for (let before: Loss | undefined; loss.steps.length > 0 && loss.steps.join() !== before?.steps.join(); ) {
    before = loss;
    await sleep(SETTLE_MS);
    loss = await lossOf(host, input);
  }
  if (loss.steps.length === 0) return undefined;
  const stoodMs = Date.now() - activityInfo().scheduledTimestampMs;
  return { ...noNews(input.cursor), ...loss, stoodMs };
}

/** What else there is to tell; where the bundle's log just ends, its death is told by {@link bundleDeath}. */
async function news(
  host: ActivityHost,
  { bottle, daemons, cursor }: WatchInput,
  ended: AbortSignal,
): Promise<WatchNews> {
  const heard = await bundleNews(host, bottle.id, { daemons, cursor }, ended);
  return heard === undefined ? new Promise(() => undefined) : { steps: [], ...heard };
}

async function idleness(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  if (input.idleMs === null) return new Promise(() => undefined);
  await untilIdle(machineDriver(input.driver, host), input.bottle.id, input.idleMs, ended);
  return { ...noNews(input.cursor), idle: true };
}

/** The first is told at once; after it, since a program may be killed, or refused a process, again and again, no more than one a minute. */
const MET_APART_MS = 60_000;

/** A microVM's bundle is a container as any other; its own kills are its kernel's to know. */
async function memory(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  const { killedAt, killsSince } = input;
  const notBeforeMs = notBefore(killedAt);
  const killed = await memoryKills(host, input.bottle.id, { since: killedAt ?? killsSince, notBeforeMs }, ended);
  if (killed.length === 0) return new Promise(() => undefined);
  return { ...noNews(input.cursor), killed };
}

async function processes(host: ActivityHost, input: WatchInput, ended: AbortSignal): Promise<WatchNews> {
  if (input.driver !== 'docker') return new Promise(() => undefined);
  const range = { told: input.outOfPids, notBeforeMs: notBefore(input.outOfPids?.at) };
  const outOfPids = await untilProcessLimit(host, input.bottle.id, range, ended);
  return { ...noNews(input.cursor), outOfPids };
}

const notBefore = (toldAt: string | undefined): number =>
  toldAt === undefined ? 0 : Date.parse(toldAt) + MET_APART_MS - Date.now();
