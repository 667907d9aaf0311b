import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { networkFacts, overlaps, parseCidr, subnetCandidates, subnetOf } from '../../../src/core/subnet.ts';

/** A pool on its own boundary with room for at least one /28, small enough to be listed. */
const pool = fc.tuple(fc.nat(2 ** 32 - 1), fc.integer({ min: 18, max: 28 })).map(([address, prefix]) => {
  const size = 2 ** (32 - prefix);
  return `${dotted(Math.floor(address / size) * size)}/${prefix}`;
});

const dotted = (address: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');

describe('a CIDR block', () => {
  test('has a first and a last address, whatever its size', () => {
    expect(parseCidr('10.214.3.16/28')).toEqual({ first: 0x0ad60310, last: 0x0ad6031f, prefix: 28 });
    expect(parseCidr('0.0.0.0/0')).toEqual({ first: 0, last: 0xffffffff, prefix: 0 });
    expect(parseCidr('255.255.255.255/32')).toEqual({ first: 0xffffffff, last: 0xffffffff, prefix: 32 });
  });

  test.each(['', '10.0.0.0', '10.0.0.0/33', '10.0.0.256/32', '10.0.0.1/28', '10.0.0/24', 'fd00::/64', ' 10.0.0.0/8'])(
    'is not %j',
    (text) => {
      expect(parseCidr(text)).toBeUndefined();
    },
  );
});

test("an address of a bottle's says which /28 it is in", () => {
  const { bundleIp } = networkFacts('bottle-demo', '10.214.3.16/28');
  expect([bundleIp, '10.214.3.31', '10.214.3.32'].map(subnetOf)).toEqual([
    '10.214.3.16/28',
    '10.214.3.16/28',
    '10.214.3.32/28',
  ]);
  expect(['', 'fd00::1', '10.214.3'].map(subnetOf)).toEqual([undefined, undefined, undefined]);
});

describe('the subnets of a pool', () => {
  test('are every /28 of it, each once, whatever the id', () => {
    fc.assert(
      fc.property(pool, fc.string(), (cidr, id) => {
        const all = [...subnetCandidates(cidr, id)];
        const { first, last } = parseCidr(cidr) as { first: number; last: number };
        expect(all.map((subnet) => parseCidr(subnet)?.first).sort((a = 0, b = 0) => a - b)).toEqual(
          Array.from({ length: (last - first + 1) / 16 }, (_, index) => first + index * 16),
        );
      }),
    );
  });

  test('come in the same order for the same id, and begin elsewhere for most others', () => {
    const first = (id: string): string => subnetCandidates('10.214.0.0/16', id).next().value as string;
    expect(first('demo')).toBe(first('demo'));
    const starts = new Set(Array.from({ length: 200 }, (_, n) => first(`demo-${n}`)));
    expect(starts.size).toBeGreaterThan(180);
  });

  test('are none when the pool is too small or unreadable', () => {
    expect([...subnetCandidates('10.0.0.0/29', 'x')]).toEqual([]);
    expect([...subnetCandidates('nonsense', 'x')]).toEqual([]);
  });
});

describe('overlap', () => {
  test('is mutual, and true exactly when an address is in both', () => {
    fc.assert(
      fc.property(pool, pool, (one, other) => {
        const [a, b] = [parseCidr(one), parseCidr(other)] as { first: number; last: number }[];
        const shared = Math.max(a?.first ?? 0, b?.first ?? 0) <= Math.min(a?.last ?? 0, b?.last ?? 0);
        expect([overlaps(one, other), overlaps(other, one)]).toEqual([shared, shared]);
      }),
    );
  });

  test.each([
    ['10.0.0.0/8', '10.214.3.16/28', true],
    ['10.214.3.0/28', '10.214.3.16/28', false],
    ['10.214.3.16/28', '10.214.3.31/32', true],
    ['10.214.3.20/28', '10.214.3.16/30', true],
    ['fd00::/64', '10.0.0.0/8', false],
  ])('of %s and %s is %s', (one, other, expected) => {
    expect(overlaps(one, other)).toBe(expected);
  });
});

test('gateway, bundle and machine have the first three addresses of the subnet', () => {
  expect(networkFacts('bottle-demo', '10.214.255.240/28')).toEqual({
    name: 'bottle-demo',
    subnet: '10.214.255.240/28',
    gateway: '10.214.255.241',
    bundleIp: '10.214.255.242',
    machineIp: '10.214.255.243',
  });
  expect(() => networkFacts('bottle-demo', 'nowhere')).toThrow('nowhere');
});
