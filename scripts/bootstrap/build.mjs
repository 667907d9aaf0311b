// dist/, built anew when any source changed.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildStamp } from '../build-stamp.mjs';
import { node24Path, root } from './places.mjs';
import { run } from './processes.mjs';

export const build = {
  name: 'build',
  look: async () => {
    const built = await readFile(join(root, 'dist/.stamp'), 'utf8').catch(() => '');
    return built === (await buildStamp(root)) ? 'dist is up to date' : undefined;
  },
  plan: 'sources changed, some seconds',
  provide: async () => {
    await run(node24Path, ['scripts/build.mjs']);
    // Not looked at again: a source saved meanwhile is the next run's business.
    return 'dist is new';
  },
};
