import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { writePipelockFiles } from '../../../src/bundle/pipelock-files.ts';
import { PIPELOCK_DIRECTORY } from '../../../src/core/daemons.ts';

const user = { path: process.env['PATH'] ?? '' };
const ca = { cert: 'the certificate', key: 'the key itself' };

// What they do where there is such a directory is test/integration/provision-ca.test.ts.
describe.skipIf(existsSync(PIPELOCK_DIRECTORY))('files that cannot be written', () => {
  test('say why, and nothing of what was to be in them', async () => {
    const error = await writePipelockFiles(user, { ca, upstreamCa: null }).catch((reason: Error) => reason);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toMatch(/its files cannot be written: .*\/run\/bottle\/pipelock\//);
    expect(`${String(error)}${(error as Error).stack}`).not.toContain(ca.key);
  });

  test('say so too where a program is missing, or the user cannot be had', async () => {
    await expect(writePipelockFiles({ path: '/nowhere' }, { ca: null, upstreamCa: null })).rejects.toThrow(
      /not found|ENOENT/,
    );
    await expect(writePipelockFiles({ ...user, uid: 2 ** 31 + 1 }, { ca, upstreamCa: null })).rejects.toThrow();
  });
});
