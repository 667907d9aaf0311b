/**
 * `npm run test:microvm [-- --short --slowdown N --counts FILE -t CASES FILE...]`: microVMs of the real smolvm, where none boots
 * otherwise. Brings up a computer of Debian's packages by QEMU, which emulates a processor that can nest, and runs in it what
 * machines must do; by KVM where that can. `--short`: one machine from its making to its end; files: those tests, and no
 * others; `--slowdown`: for a computer that is busy otherwise, how many seconds one of the emulated lasts. Needs root on Debian
 * for x64, and no internet but Debian's packages. Exit code 1 when anything failed.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { tryLock } from '../../src/host/file-lock.ts';
import { settings } from '../../src/host/settings.ts';
import { TESTED_KINDS } from '../support/tested-kinds.ts';
import { emulatedDisk, IMAGES, INSIDE } from './disk.ts';
import { runEmulated } from './qemu.ts';
import { SMALL_MACHINE } from './small-machine.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const SHORT = ['test/microvm/short.test.ts'];
const WHOLE = [...SHORT, 'test/integration/smolvm.test.ts'];
/** An emulated processor is some ten times slower, and one in it ten times more. */
const PATIENCE = 6;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean' },
    slowdown: { type: 'string' },
    counts: { type: 'string' },
    cases: { type: 'string', short: 't' },
  },
});
const began = performance.now();
const say = (line: string): void =>
  console.log(`${String(Math.round((performance.now() - began) / 1000)).padStart(4)} s  ${line}`);

process.exitCode = await main();

async function main(): Promise<number> {
  if (process.platform !== 'linux' || process.arch !== 'x64' || process.getuid?.() !== 0) {
    console.log('not run: the computer that microVMs boot in is made of packages for x64, which takes root on Linux');
    return 1;
  }
  // Ctrl-C ends what this has started as an end does; see qemu.ts.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
  const kept = path.join(settings().cache, 'microvm');
  mkdirSync(kept, { recursive: true });
  const lock = await untilFree(path.join(kept, 'lock'));
  // Of a run that was killed.
  for (const name of readdirSync(kept)) if (name.startsWith('run-')) rmSync(path.join(kept, name), { recursive: true });
  const exchange = mkdtempSync(path.join(kept, 'run-'));
  process.once('exit', () => rmSync(exchange, { recursive: true, force: true }));
  try {
    const { passed, failed, line } = await tests(
      await emulatedDisk(kept, say),
      exchange,
      path.join(kept, 'console.log'),
    );
    console.log(line);
    // For .ci/run: `passed failed`.
    if (values.counts !== undefined) writeFileSync(values.counts, `${passed} ${failed}\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    lock.release();
  }
}

async function tests(
  disk: Awaited<ReturnType<typeof emulatedDisk>>,
  exchange: string,
  log: string,
): Promise<{ passed: number; failed: number; line: string }> {
  rmSync(log, { force: true });
  say('starting the computer');
  let isTesting = false;
  const { code, accelerator } = await runEmulated(disk, {
    checkout: root,
    exchange,
    command: command(),
    slowdown: Number(values.slowdown ?? 1),
    log,
    onLine: (line) => {
      if (line.startsWith(':: ')) say(line.slice(3));
      else if (isTesting && !/^\[ *\d+\.\d+\] |^ ↓ /.test(line)) say(line);
      isTesting ||= line.startsWith(':: testing');
    },
  });
  const { numPassedTests: passed, numFailedTests } = readReport(path.join(exchange, 'report.json'));
  // A run can fail without a failed test: a file that does not load.
  const failed = code === 0 && passed > 0 ? numFailedTests : Math.max(numFailedTests, 1);
  const seconds = Math.round((performance.now() - began) / 1000);
  const how = accelerator === 'kvm' ? 'by KVM' : 'emulated';
  return {
    passed,
    failed,
    line: `microvm, ${how}: ${passed} passed, ${failed} failed, ${seconds} s; all of it in ${log}`,
  };
}

/** What the computer runs, in this checkout. */
function command(): string {
  const files = positionals.length > 0 ? positionals : values.short ? SHORT : WHOLE;
  const only = values.cases === undefined ? [] : ['-t', values.cases];
  const vitest = ['vitest', 'run', '--project', 'microvm', '--project', 'integration', ...files, ...only];
  const reporters = ['--reporter=verbose', '--reporter=json', '--outputFile.json=/exchange/report.json'];
  const env = {
    NO_COLOR: '1',
    CI: '1',
    BOTTLE_CACHE: INSIDE.cache,
    SMOLVM_AGENT_ROOTFS: INSIDE.rootfs,
    BOTTLE_TEST_MICROVM: '1',
    BOTTLE_TEST_MACHINE_IMAGE: SMALL_MACHINE,
    BOTTLE_TEST_PATIENCE: String(PATIENCE),
    [TESTED_KINDS]: IMAGES.join(','),
  };
  return [
    'export PATH="$PWD/node_modules/.bin:$PATH"',
    ...Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}`),
    'echo ":: testing"',
    [...vitest, ...reporters].map(quoted).join(' '),
  ].join('\n');
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function readReport(file: string): { numPassedTests: number; numFailedTests: number } {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { numPassedTests: number; numFailedTests: number };
  } catch {
    return { numPassedTests: 0, numFailedTests: 0 };
  }
}

async function untilFree(file: string) {
  for (let told = false; ; told = true) {
    const lock = tryLock(file);
    if (lock !== null) return lock;
    if (!told) say('waiting for another run of it');
    await sleep(500);
  }
}
