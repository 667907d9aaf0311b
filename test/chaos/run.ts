/**
 * `npm run chaos [-- --seed N --kills N --bottles N --round N --without KIND,... --only KIND,... --own-engine --keep DIR]`: launches,
 * holds, retries, applies, requests and stops by the real client, on the real Engine and server, while all that can break
 * is broken at instants that the seed determines. After each round nothing is broken any more, everything has to come to
 * rest, and the invariants are looked at. Leaves the computer as it was, however it ends. Exit code 1 with violations.
 *
 * With `--own-engine` its bottles are on an Engine that it starts beside the one that is here, and breaks too; else that is
 * left whole, since others use it. `--round N` plays one round of a seed alone, on bottles that it launches itself.
 */
import { inspect, parseArgs } from 'node:util';
import { Faults } from './faults.ts';
import { Hands } from './hands.ts';
import { Invariants } from './invariants.ts';
import { Journal } from './journal.ts';
import { Lives } from './lives.ts';
import { canOwnEngine } from './own-engine.ts';
import { ENGINE_KINDS, FAULTS, FAULTS_A_ROUND, type FaultKind, planRound } from './plan.ts';
import { reportLines, type Tally } from './report.ts';
import { Rounds } from './rounds.ts';
import { chaosSite } from './site.ts';

const KINDS = Object.keys(FAULTS) as FaultKind[];

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    kills: { type: 'string', default: '100' },
    bottles: { type: 'string', default: '4' },
    round: { type: 'string' },
    only: { type: 'string' },
    without: { type: 'string', default: '' },
    keep: { type: 'string' },
    'own-engine': { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const kills = Number(values.kills);
const bottles = Number(values.bottles);
const only = values.round === undefined ? undefined : Number(values.round);
const kinds = chosenKinds();
const say = (line: string): void => console.log(line);

// At once: a call of the server's may still be waiting for its next try.
process.exit(await main());

async function main(): Promise<number> {
  say(`chaos: seed ${seed}, ${only === undefined ? `${kills} kills` : `round ${only}`}, ${bottles} bottles`);
  const start = performance.now();
  const site = await chaosSite(values['own-engine']);
  const journal = new Journal(say);
  const hands = new Hands(site, journal);
  const lives = new Lives(site, hands, journal, bottles);
  const faults = new Faults(site, hands, journal);
  const invariants = new Invariants(site, hands, journal);
  const run = new Rounds({ site, journal, hands, lives, faults, invariants }, say);
  const tally = (): Tally => ({
    seed,
    rounds: run.rounds,
    seconds: (performance.now() - start) / 1000,
    commands: hands.commands,
    bottles: lives.all.size,
    kills: faults.kills,
    faults: faults.done,
    settled: run.settled,
    violations: journal.violations,
  });
  const told = (): void => {
    for (const line of reportLines(tally())) say(line);
    const kept = run.keepAll(tally(), values.keep);
    if (kept !== undefined) say(`kept: ${kept}`);
  };
  // One that is broken off tells what it has, and tidies up as well.
  const end = (): void => {
    hands.rest();
    say('broken off');
    told();
    void site.dispose().then(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
  try {
    if (!site.ownDisk) say('not done: filling the disk of the state, which takes root on Linux');
    await hands.run(['serve', '--detach']);
    await lives.begin();
    for (let round = only ?? 1; ; round += 1) {
      const before = journal.violations.length;
      await run.round(planRound({ seed, round, bottles, faults: FAULTS_A_ROUND, kinds }));
      // Can be looked into while the run goes on.
      if (values.keep !== undefined && journal.violations.length > before) run.keepAll(tally(), values.keep);
      if (only !== undefined || faults.kills >= kills) break;
    }
    await run.empty();
    // What breaks nothing that works proves nothing.
    if (!run.settled.some(({ state }) => state === 'ready'))
      journal.violation('no bottle was ready after any round', undefined, `${run.rounds} rounds`);
    told();
    return journal.violations.length === 0 ? 0 : 1;
  } catch (error) {
    // Told before all that its tidying brings about.
    say(`the run itself failed in round ${journal.round}: ${inspect(error)}`);
    return 1;
  } finally {
    await site.dispose();
  }
}

function chosenKinds(): FaultKind[] {
  const named = (text: string): string[] => text.split(',').filter(Boolean);
  for (const name of [...named(values.only ?? ''), ...named(values.without)])
    if (!KINDS.includes(name as FaultKind)) throw new Error(`no such fault: ${name}; there are ${KINDS.join(', ')}`);
  const wanted = values.only === undefined ? KINDS : (named(values.only) as FaultKind[]);
  const ours = values['own-engine'];
  if (ours && !canOwnEngine()) throw new Error('--own-engine takes root on Linux, with dockerd and containerd');
  return wanted.filter((kind) => !named(values.without).includes(kind) && (ours || !ENGINE_KINDS.includes(kind)));
}
