/** IPv4 arithmetic for the pool of bottle networks: which /28s there are, in the order an id tries them. */
import type { NetworkFacts } from './step-io.ts';

const PREFIX = 28;
const SIZE = 2 ** (32 - PREFIX);

/** @returns the two ends of a CIDR block, or undefined when it is not IPv4 CIDR on its own boundary */
export function parseCidr(cidr: string): Block | undefined {
  const block = blockAround(cidr);
  if (block === undefined || !block.onBoundary) return undefined;
  const { first, last, prefix } = block;
  return { first, last, prefix };
}

interface Block {
  first: number;
  last: number;
  prefix: number;
}

/** The block that an address with a prefix lies in: Docker keeps a subnet as it was written, `10.1.2.3/24`. */
function blockAround(cidr: string): (Block & { onBoundary: boolean }) | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  if (match === null) return undefined;
  const [a, b, c, d, prefix] = match.slice(1).map(Number) as [number, number, number, number, number];
  if (Math.max(a, b, c, d) > 255 || prefix > 32) return undefined;
  const address = a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d;
  const size = 2 ** (32 - prefix);
  const first = address - (address % size);
  return { first, last: first + size - 1, prefix, onBoundary: first === address };
}

/**
 * The pool's /28 blocks, beginning at one that the id's hash picks and then every other one once:
 * a retry of the same bottle finds the same block, and two bottles seldom meet.
 * @param pool CIDR no longer than /28
 */
export function* subnetCandidates(pool: string, id: string): Generator<string> {
  const block = parseCidr(pool);
  if (block === undefined || block.prefix > PREFIX) return;
  const count = (block.last - block.first + 1) / SIZE;
  const start = fnv1a(id) % count;
  for (let i = 0; i < count; i++) yield `${format(block.first + ((start + i) % count) * SIZE)}/${PREFIX}`;
}

/** The /28 that an IPv4 address lies in; undefined for what is none. */
export function subnetOf(address: string): string | undefined {
  const block = blockAround(`${address}/${PREFIX}`);
  return block === undefined ? undefined : `${format(block.first)}/${PREFIX}`;
}

/** Whether two CIDR blocks share an address; false when either cannot be read. */
export function overlaps(one: string, other: string): boolean {
  const a = blockAround(one);
  const b = blockAround(other);
  return a !== undefined && b !== undefined && a.first <= b.last && b.first <= a.last;
}

/** The fixed places in a bottle's /28: gateway, bundle and machine are its first three addresses. */
export function networkFacts(name: string, subnet: string): NetworkFacts {
  const block = parseCidr(subnet);
  if (block === undefined) throw new Error(`not a subnet: ${subnet}`);
  return {
    name,
    subnet,
    gateway: format(block.first + 1),
    bundleIp: format(block.first + 2),
    machineIp: format(block.first + 3),
  };
}

function format(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** FNV-1a, 32 bits: spreads ids well enough, and is pure where node:crypto is not. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193) >>> 0;
  return hash;
}
