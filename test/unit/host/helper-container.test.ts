import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type Dockerode from 'dockerode';
import { expect, test } from 'vitest';
import { createHelper, removeStaleHelpers } from '../../../src/host/helper-container.ts';
import { packageRoot } from '../../../src/host/package-root.ts';

const OLD = Date.parse('2026-01-01T00:00:00Z');
const HOUR = 3_600_000;

/** Keeps what is created, which is never started. */
function playedEngine(): { docker: Dockerode; left: () => string[] } {
  let containers: { Id: string; Created: number; Labels: Record<string, string> }[] = [];
  const docker = {
    createContainer: async ({ Image, Labels = {} }: { Image: string; Labels?: Record<string, string> }) =>
      void containers.push({ Id: Image, Created: OLD / 1000, Labels }),
    listContainers: async ({ filters }: { filters: { label: string[]; status: string[] } }) =>
      filters.status.includes('created')
        ? containers.filter(({ Labels }) =>
            filters.label.every((label) => Object.entries(Labels).some((pair) => pair.join('=') === label)),
          )
        : [],
    getContainer: (id: string) => ({
      remove: async () => {
        containers = containers.filter(({ Id }) => Id !== id);
      },
    }),
  };
  return { docker: docker as unknown as Dockerode, left: () => containers.map(({ Id }) => Id) };
}

test('what a killed process left is removed by its own installation, and by no other, and not while it may be in use', async () => {
  const { docker, left } = playedEngine();
  await createHelper(docker, 'image.copy', { Image: 'copied' }, { state: '/mine' });
  await createHelper(docker, 'way-out.try', { Image: 'tried' }, { state: '/mine/' });
  await createHelper(docker, 'way-out.try', { Image: 'foreign' }, { state: '/theirs' });
  await removeStaleHelpers(docker, { state: '/mine' }, OLD + HOUR);
  expect(left()).toHaveLength(3);
  await removeStaleHelpers(docker, { state: '/mine' }, OLD + 2 * HOUR);
  expect(left()).toEqual(['foreign']);
});

test('a container is made where its labels are put on it, and nowhere else', () => {
  const making = globSync('src/**/*.ts', { cwd: packageRoot }).filter((file) =>
    readFileSync(path.join(packageRoot, file), 'utf8').includes('createContainer('),
  );
  expect(making.sort()).toEqual([
    'src/host/container.ts',
    'src/host/helper-container.ts',
    'src/host/machine/administer.ts',
  ]);
});
