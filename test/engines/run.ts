/**
 * `npm run test:engines [-- NAME... --counts FILE]`: brings up Debian's other Engines beside the one that is here, two at
 * a time, and runs on each what a bottle's isolation and its good and bad days rest on. Needs root on Debian, and no internet
 * but Debian's packages. Ends with a line for each Engine and one for all; exit code 1 when anything failed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectDocker } from '../../src/host/docker.ts';
import { engineName } from '../../src/host/engine-support.ts';
import { tryLock } from '../../src/host/file-lock.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { settings } from '../../src/host/settings.ts';
import { TESTED_KINDS } from '../support/tested-kinds.ts';
import { debianRoot } from './debian-root.ts';
import { carryImages, type RunningEngine, startEngine, tidy } from './engine.ts';
import { ENGINES, type EngineKind, IMAGES, REFUSALS, SUITES } from './engines.ts';

const SIDE_BY_SIDE = 2;
const root = fileURLToPath(new URL('../..', import.meta.url));

interface Outcome {
  passed: number;
  failed: number;
  /** One line: what it is, how many cases ran, how long it took. */
  line: string;
}

const { values, positionals } = parseArgs({ options: { counts: { type: 'string' } }, allowPositionals: true });
const chosen = positionals.length === 0 ? ENGINES : ENGINES.filter(({ name }) => positionals.includes(name));
const say = (line: string): void => console.log(line);

process.exitCode = await main();

async function main(): Promise<number> {
  const unknown = positionals.filter((name) => !ENGINES.some((engine) => engine.name === name));
  if (unknown.length > 0) {
    say(`no such Engine: ${unknown.join(', ')}; there are ${ENGINES.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    say('not run: other Engines are brought up in namespaces of their own, which takes root on Linux');
    return 1;
  }
  // Ctrl-C ends what this has started as an end does; see engine.ts.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
  const outcomes: Outcome[] = [];
  const waiting = [...chosen];
  const work = async (): Promise<void> => {
    for (let kind = waiting.shift(); kind !== undefined; kind = waiting.shift()) {
      const outcome = await outcomeOf(kind);
      say(outcome.line);
      outcomes.push(outcome);
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
  const sum = (key: 'passed' | 'failed'): number => outcomes.reduce((total, outcome) => total + outcome[key], 0);
  const [passed, failed] = [sum('passed'), sum('failed')];
  say(`engines: ${passed} passed, ${failed} failed`);
  // For .ci/run: `passed failed`.
  if (values.counts !== undefined) writeFileSync(values.counts, `${passed} ${failed}\n`);
  return failed === 0 ? 0 : 1;
}

async function outcomeOf(kind: EngineKind): Promise<Outcome> {
  const start = performance.now();
  const line = (what: string): string => `${kind.name}: ${what}, ${Math.round((performance.now() - start) / 1000)} s`;
  try {
    return await withEngine(kind, async (engine, log) => {
      const { passed, failed } = await tests(kind, engine, log);
      const { apiVersion } = engine.facts;
      const verdict = kind.expected === 'refused' ? ', refused by name' : '';
      const what = `${engineName(engine.facts)}, API ${apiVersion}${verdict}: ${passed} passed, ${failed} failed`;
      return { passed, failed, line: line(what) };
    });
  } catch (error) {
    // One that does not come up is a failure, not an Engine less.
    return { passed: 0, failed: 1, line: line(`1 failed: ${(error as Error).message}`) };
  }
}

async function withEngine<T>(kind: EngineKind, act: (engine: RunningEngine, log: string) => Promise<T>): Promise<T> {
  const kept = path.join(settings().cache, 'engines');
  const place = path.join(kept, kind.name);
  mkdirSync(place, { recursive: true });
  const lock = await untilFree(path.join(place, 'lock'), kind.name);
  try {
    say(`${kind.name}: packages of ${kind.suite}`);
    const lower = await debianRoot(kind, kept);
    say(`${kind.name}: starting`);
    const engine = await startEngine(kind, lower, place);
    try {
      const tags = kind.expected === 'supported' ? await Promise.all(IMAGES.map((each) => imageTag(each))) : [];
      await tidy(engine, tags);
      const carried = await carryImages(connectDocker(), engine, tags);
      say(`${kind.name}: ${engineName(engine.facts)}, ${carried} of ${tags.length} images carried over; testing`);
      return await act(engine, path.join(place, 'tests.log'));
    } finally {
      await engine.stop();
    }
  } finally {
    lock.release();
  }
}

async function untilFree(file: string, name: string) {
  for (let told = false; ; told = true) {
    const lock = tryLock(file);
    if (lock !== null) return lock;
    if (!told) say(`${name}: waiting for another run of it`);
    await sleep(500);
  }
}

/** As neighbours of the Engine's bridges, so that the host that a machine must not reach is the one the tests run on. */
async function tests(
  kind: EngineKind,
  engine: RunningEngine,
  log: string,
): Promise<{ passed: number; failed: number }> {
  const report = path.join(os.tmpdir(), `bottle-engine-${kind.name}-${process.pid}.json`);
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const files = kind.expected === 'supported' ? SUITES : REFUSALS;
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const projects = ['client', 'integration', 'launch'].flatMap((name) => ['--project', name]);
  const output = openSync(log, 'w');
  const child = spawn(
    'nsenter',
    [`--net=/proc/${engine.networkOf}/ns/net`, process.execPath, vitest, 'run', ...projects, ...files, ...reporters],
    {
      cwd: root,
      stdio: ['ignore', output, output],
      env: {
        ...process.env,
        NO_COLOR: '1',
        DOCKER_HOST: engine.dockerHost,
        [TESTED_KINDS]: IMAGES.join(','),
        ...(kind.expected === 'refused' ? { BOTTLE_TEST_REFUSED_ENGINE: engine.dockerHost } : {}),
      },
    },
  );
  const endWithUs = (): void => void child.kill('SIGTERM');
  process.once('exit', endWithUs);
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    const { numPassedTests: passed, numFailedTests } = readReport(report);
    // A run can fail without a failed test: a file that does not load.
    const failed = code === 0 ? numFailedTests : Math.max(numFailedTests, 1);
    if (failed > 0) say(`${kind.name}: ${failed} failed; all of it in ${log}\n${failures(log)}`);
    return { passed, failed };
  } finally {
    process.off('exit', endWithUs);
    rmSync(report, { force: true });
  }
}

function readReport(file: string): { numPassedTests: number; numFailedTests: number } {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { numPassedTests: number; numFailedTests: number };
  } catch {
    return { numPassedTests: 0, numFailedTests: 0 };
  }
}

/** From the first failure on, or else the end. */
function failures(log: string): string {
  const lines = readFileSync(log, 'utf8').split('\n');
  const first = lines.findIndex((line) => /^ ?FAIL /.test(line));
  return (first < 0 ? lines.slice(-40) : lines.slice(first, first + 80)).join('\n');
}
