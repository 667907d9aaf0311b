/**
 * A year of one bottle in some minutes: `npm run year [-- --requests N --heals N --retries N --applies N]`. The workflow and the Temporal
 * server are real, the bottle is played (played-host.ts): what counts here is what a history becomes, and what a command takes.
 * Ends with 1 when a history was longer than it may be, or something was lost.
 */
import { parseArgs } from 'node:util';
import { installation, isHeld, isReady } from '../support/installation.ts';
import { playedHost } from '../support/played-host.ts';

/** "At every moment": far below what the server suggests an end at, and what it ends a workflow at. */
const MOST_EVENTS = 10_000;
const MOST_BYTES = 5 * 1024 ** 2;

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '5000' },
    heals: { type: 'string', default: '500' },
    retries: { type: 'string', default: '200' },
    applies: { type: 'string', default: '50' },
  },
});
const many = {
  requests: Number(values.requests),
  heals: Number(values.heals),
  retries: Number(values.retries),
  applies: Number(values.applies),
};

const it = await installation();
const host = await playedHost(it);
const runs = new Set<string>();
const most = { events: 0, bytes: 0 };
const took = new Map<string, number[]>();
const wrong: string[] = [];
const id = 'year';
const bottle = host.bottle(id);
const handle = it.client.workflow.getHandle(id);

async function measure(): Promise<void> {
  const { runId, historyLength, historySize } = await handle.describe();
  runs.add(runId);
  most.events = Math.max(most.events, historyLength);
  most.bytes = Math.max(most.bytes, historySize ?? 0);
}

async function timed<T>(what: string, act: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await act();
  took.set(what, [...(took.get(what) ?? []), performance.now() - start]);
  await measure();
  return result;
}

/** Every tenth is long, every tenth a route for good, every tenth one for a moment. */
async function answerOne(n: number): Promise<void> {
  const request = n.toString(16).padStart(8, '0');
  const kind = n % 10;
  if (kind < 2 && n < 9000) {
    bottle.ask(request, {
      kind: 'egress-route',
      host: `h${n}.test`,
      methods: ['GET'],
      pathPrefix: null,
      reason: 'year',
    });
  } else
    bottle.ask(request, { kind: 'question', question: kind === 2 ? '問'.repeat(1900) : `Which, ${n}?`, options: [] });
  const heard = await it.waitFor(id, ({ requests }) => requests.some((each) => each.id === request));
  if (heard.requests.find((each) => each.id === request)?.state !== 'pending') wrong.push(`${request} was not pending`);
  const answer = {
    request,
    decision: 'approve',
    note: kind === 2 ? '答'.repeat(900) : `to ${n}`,
    ...(kind === 1 ? { for: '2s' } : {}),
  };
  await timed('decide', () => handle.executeUpdate('decide', { args: [answer] }));
  await it.waitFor(id, isReady);
  const given = bottle.requests.find((each) => each.id === request);
  if (given === undefined || given.state === 'pending') wrong.push(`${request} never reached the bundle`);
}

async function healOne(n: number): Promise<void> {
  const what = n % 2 === 0 ? 'bundle' : 'machine.start';
  const before = bottle.runs.get(what) ?? 0;
  bottle.kill(what);
  await timed('heal', () => it.waitFor(id, (status) => isReady(status) && (bottle.runs.get(what) ?? 0) > before));
}

async function retryOne(): Promise<void> {
  bottle.fails.set('check', 3);
  bottle.kill('bundle');
  await it.waitFor(id, isHeld);
  await timed('retry', () => handle.executeUpdate('retry'));
  await it.waitFor(id, isReady);
}

try {
  await it.launch(id, { agent: 'demo' });
  const { runId, readyAt, startedAt } = await it.waitFor(id, isReady);
  const all = many.requests + many.heals + many.retries + many.applies;
  const due = (done: number, of: number, at: number): boolean => done * all < of * at;
  const done = { requests: 0, heals: 0, retries: 0, applies: 0 };
  const began = Date.now();
  for (let at = 1; at <= all; at += 1) {
    if (due(done.applies, many.applies, at)) {
      await timed('apply', () => handle.executeUpdate('apply'));
      await it.waitFor(id, isReady);
      done.applies += 1;
    } else if (due(done.retries, many.retries, at)) {
      await retryOne();
      done.retries += 1;
    } else if (due(done.heals, many.heals, at)) {
      await healOne(done.heals);
      done.heals += 1;
    } else {
      await answerOne(done.requests);
      done.requests += 1;
    }
    if (at % 200 === 0) process.stderr.write(`${at} of ${all} after ${Math.round((Date.now() - began) / 1000)} s\n`);
  }
  const status = await timed('status', () => it.status(id));
  if (status.runId !== runId || status.readyAt !== readyAt || status.startedAt !== startedAt)
    wrong.push('it became another launch');
  const known = status.requests.length + (status.olderRequests ?? 0);
  if (known !== done.requests) wrong.push(`${known} requests are known of ${done.requests}`);
  await timed('stop', async () => {
    await handle.executeUpdate('stop');
    await it.closed(id);
  });
  for (const undo of ['machine.stop', 'machine.delete', 'bundle.remove', 'network.remove', 'state.remove'])
    if (bottle.runs.get(undo) !== 1) wrong.push(`${undo} ran ${bottle.runs.get(undo) ?? 0} times`);
  if (most.events >= MOST_EVENTS) wrong.push(`a history had ${most.events} events`);
  if (most.bytes >= MOST_BYTES) wrong.push(`a history had ${most.bytes} bytes`);
  const seconds = Math.round((Date.now() - began) / 1000);
  console.log(
    `${JSON.stringify(done)} in ${seconds} s and ${runs.size} runs; the longest had ${most.events} events and ${most.bytes} bytes`,
  );
  console.log('| command | first tenth | last tenth |\n|---|---|---|');
  for (const [what, times] of took)
    console.log(`| ${what} | ${median(times, 'first')} ms | ${median(times, 'last')} ms |`);
} finally {
  await host.stop();
  await it.dispose();
}
for (const line of wrong) console.error(line);
process.exitCode = wrong.length === 0 ? 0 : 1;

function median(times: readonly number[], which: 'first' | 'last'): number {
  const count = Math.max(1, Math.ceil(times.length / 10));
  const some = (which === 'first' ? times.slice(0, count) : times.slice(-count)).toSorted((a, b) => a - b);
  return Math.round(some[Math.floor(some.length / 2)] ?? 0);
}
