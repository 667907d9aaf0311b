import { defineConfig } from 'vitest/config';

const minutes = (count: number): number => count * 60_000;

/**
 * One project for each folder of test/, in the order in which they run: what is quick and pure first and side by side,
 * then what shares the one Docker Engine and the one set of ports of this computer, a file at a time.
 */
const project = (name: string, groupOrder: number, timeout: number, fileParallelism: boolean) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeout,
    // A hook starts and removes what the tests share: servers, workers, Docker objects.
    hookTimeout: Math.max(timeout, minutes(1)),
    fileParallelism,
    sequence: { groupOrder },
    // What shares the computer also runs the build and the images, so both are made anew where sources changed.
    ...(fileParallelism ? {} : { globalSetup: 'test/support/global-setup.ts' }),
  },
});

export default defineConfig({
  test: {
    // Temporal's native core and process exit codes want processes of their own, not threads.
    pool: 'forks',
    projects: [
      // Long enough for a failing property to shrink and tell its seed on a busy computer.
      project('unit', 0, minutes(1), true),
      project('replay', 0, minutes(1), true),
      project('client', 1, minutes(1), false),
      project('integration', 2, minutes(2), false),
      project('launch', 3, minutes(5), false),
    ],
  },
});
