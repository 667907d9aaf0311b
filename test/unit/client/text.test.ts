import fc from 'fast-check';
import { expect, test } from 'vitest';
import { coloursFor } from '../../../src/client/render/colours.ts';
import { clean, duration, shorten } from '../../../src/client/render/text.ts';

test('clean text has no control, escape or reordering characters, whatever went in', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(clean(text)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    }),
  );
  expect(clean('\u001b[31mred\u001b[0m \u001b]8;;http://x\u0007link')).toBe('red link');
});

test('shortened text is never longer than asked, and whole when it fits', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(60), (text, width) => {
      const short = shorten(text, width);
      expect([...short].length).toBeLessThanOrEqual(width);
      if ([...text].length <= width) expect(short).toBe(text);
    }),
  );
});

test.each([
  [0, '0 ms'],
  [84.4, '84 ms'],
  [1240, '1.2 s'],
  [59_960, '1 min 0 s'],
  [184_000, '3 min 4 s'],
  [7_500_000, '2 h 5 min'],
  [180_000_000, '2 d 2 h'],
  [-5, '0 ms'],
])('%d ms reads as %s', (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test('colours need a terminal that wants them', () => {
  const coloured = (stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv) => coloursFor(stream, env).isColorSupported;
  expect(coloured({ isTTY: true }, {})).toBe(true);
  expect(coloured({ isTTY: true }, { NO_COLOR: '' })).toBe(true);
  expect(coloured({ isTTY: true }, { NO_COLOR: '1' })).toBe(false);
  expect(coloured({ isTTY: true }, { TERM: 'dumb' })).toBe(false);
  expect(coloured({}, {})).toBe(false);
});
