import os from 'node:os';
import { defineConfig } from 'vitest/config';

/** An emulated computer is many times slower (test/microvm). */
const PATIENCE = Number(process.env['BOTTLE_TEST_PATIENCE'] ?? 1);
const minutes = (count: number): number => count * 60_000 * PATIENCE;

/** Vitest leaves one core idle, which of two is half. */
const CORES = Math.max(2, os.availableParallelism());
/** Files at once of those that wait for one Docker Engine most of the time, however many cores there are. */
const ON_ONE_ENGINE = 3;

/**
 * One project for each folder of test/, in the order in which they run: what is quick and pure first, then what shares the
 * one Docker Engine of this computer. Files run side by side, also with those of another run: each has ids, owners, ports
 * and subnets of its own. A time-out is no measure: it is there for what would never end, on a computer however busy.
 */
const project = (name: string, groupOrder: number, timeout: number) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeout,
    // A hook starts and removes what the tests share: servers, workers, Docker objects.
    hookTimeout: timeout,
    maxWorkers: groupOrder === 0 ? CORES : ON_ONE_ENGINE,
    sequence: { groupOrder },
    // What shares the Engine also runs the build and the images, so both are made anew where sources changed.
    ...(groupOrder === 0 ? {} : { globalSetup: 'test/support/global-setup.ts' }),
  },
});

export default defineConfig({
  test: {
    // Temporal's native core and process exit codes want processes of their own, not threads.
    pool: 'forks',
    // Of one file, where tests say that they may run side by side: mostly they wait, and other files run beside.
    maxConcurrency: 2,
    // A second, which is Vitest's own, is little on a busy computer.
    expect: { poll: { timeout: minutes(2) } },
    projects: [
      // Long enough for a failing property to shrink and tell its seed on a busy computer.
      project('unit', 0, minutes(3)),
      project('replay', 0, minutes(3)),
      project('client', 1, minutes(5)),
      project('integration', 1, minutes(5)),
      project('launch', 1, minutes(10)),
      // Not a part of all: it needs a host on which microVMs boot.
      ...(process.env['BOTTLE_TEST_MICROVM'] ? [project('microvm', 1, minutes(5))] : []),
    ],
  },
});
