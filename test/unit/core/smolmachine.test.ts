import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { smolmachineImage, smolmachineOf } from '../../../src/core/smolmachine.ts';

const DIGEST = `sha256:${'0a'.repeat(32)}`;

describe('a packed machine as an image', () => {
  test('is read as it was written, whatever its path holds', () => {
    const file = fc.string({ unit: 'grapheme' }).map((text) => `/${text}.smolmachine`);
    const digest = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
    fc.assert(
      fc.property(file, digest, (file, digest) => {
        expect(smolmachineOf(smolmachineImage({ file, digest }))).toEqual({ file, digest });
        expect(smolmachineOf(file)).toEqual({ file });
      }),
    );
  });

  test('of a path that itself ends like one is the whole path', () => {
    const file = `/a.smolmachine@${DIGEST}/b.smolmachine`;
    expect(smolmachineOf(`${file}@${DIGEST}`)).toEqual({ file, digest: DIGEST });
  });

  test.each([
    'bottleworks/guest:1',
    'a.smolmachine',
    'registry.test/a.smolmachine:1',
    `name@${DIGEST}`,
    '/x/guest',
    `/x/guest@${DIGEST}`,
    '/x/guest.smolmachine@sha256:abc',
    '',
  ])('is not %j', (image) => {
    expect(smolmachineOf(image)).toBeUndefined();
  });
});
