import { createHash, randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { egressListenHost } from '../../../src/core/egress-address.ts';

const octets = (runId: string): number[] => egressListenHost(runId).split('.').map(Number);

test('a run has one address, and the next run another', () => {
  const runId = randomUUID();
  expect(egressListenHost(runId)).toBe(egressListenHost(runId));
  expect(egressListenHost(runId)).not.toBe(egressListenHost(runId.replace(/.$/, (last) => (last === '0' ? '1' : '0'))));
});

test('it is of loopback, never of 127.0.0.0/24, and never one that means a network or all of it', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uuid(), fc.string()), (runId) => {
      const [first, a, b, c, ...more] = octets(runId) as [number, number, number, number];
      expect([first, more]).toEqual([127, []]);
      expect([a >= 1 && a <= 255, b >= 0 && b <= 255, c >= 1 && c <= 254]).toEqual([true, true, true]);
    }),
    { numRuns: 2000 },
  );
});

test('runs of one second, whose ids begin alike, are spread over all of it', () => {
  const runIds = Array.from({ length: 20_000 }, (_, n) => {
    const random = createHash('sha256').update(String(n)).digest('hex');
    return `019abcde-f012-7${random.slice(0, 3)}-9${random.slice(3, 6)}-${random.slice(6, 18)}`;
  });
  const all = runIds.map(octets);
  // By chance some 12 of 20000 share an address with another one.
  expect(new Set(all.map((address) => address.join('.'))).size).toBeGreaterThan(19_960);
  for (const at of [1, 2, 3]) {
    const counts = new Map<number, number>();
    for (const address of all) counts.set(address[at] as number, (counts.get(address[at] as number) ?? 0) + 1);
    expect(counts.size).toBeGreaterThanOrEqual(254);
    // 78 of each, give or take.
    expect(Math.max(...counts.values())).toBeLessThan(150);
    expect(Math.min(...counts.values())).toBeGreaterThan(30);
  }
});
