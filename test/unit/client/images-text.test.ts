import { expect, test } from 'vitest';
import { imagesText } from '../../../src/client/commands/image.ts';

const NOW = Date.parse('2026-11-23T10:00:00.000Z');

test('an image is what new bottles use, what bottles were made from, both, or neither', () => {
  const image = { kind: 'guest' as const, size: 684 * 1024 ** 2, createdAt: new Date(NOW - 60_000).toISOString() };
  const images = [
    { ...image, tag: 'bottleworks/guest:1', current: true, usedBy: [] },
    { ...image, tag: 'bottleworks/guest:2', current: false, usedBy: ['demo', 'other'] },
    { ...image, tag: 'bottleworks/guest:3', current: false, usedBy: [] },
  ];
  expect(imagesText(images, NOW)).toMatchInlineSnapshot(`
    "IMAGE                SIZE     BUILT          NEW BOTTLES  USED BY
    bottleworks/guest:1  684 MiB  1 min 0 s ago  use it       -
    bottleworks/guest:2  684 MiB  1 min 0 s ago  no           demo, other
    bottleworks/guest:3  684 MiB  1 min 0 s ago  no           -"
  `);
});
