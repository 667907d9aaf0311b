/** Which addresses a name of the allow-list may lead to. Pure. */
import { BlockList, isIP } from 'node:net';

const V4 = 'ipv4';
const V6 = 'ipv6';

/** This machine and private networks: an entry may permit them. (IANA special-purpose registries.) */
const privateRanges = blockList([
  ['10.0.0.0', 8, V4],
  ['100.64.0.0', 10, V4],
  ['127.0.0.0', 8, V4],
  ['172.16.0.0', 12, V4],
  ['192.168.0.0', 16, V4],
  ['198.18.0.0', 15, V4],
  ['::1', 128, V6],
  ['fc00::', 7, V6],
]);

/** Never through a name: unspecified, link-local (cloud metadata lives there), multicast, reserved, IPv4 in disguise. */
const forbiddenRanges = blockList([
  ['0.0.0.0', 8, V4],
  ['169.254.0.0', 16, V4],
  ['192.0.0.0', 24, V4],
  ['224.0.0.0', 4, V4],
  ['240.0.0.0', 4, V4],
  ['::', 128, V6],
  ['64:ff9b::', 96, V6],
  ['64:ff9b:1::', 48, V6],
  ['2002::', 16, V6],
  ['fe80::', 10, V6],
  ['fec0::', 10, V6],
  ['ff00::', 8, V6],
]);

/** `public`, `private` (an allow-list entry may permit it) or `forbidden`, as is all that is no plain address. */
export function addressKind(address: string): 'public' | 'private' | 'forbidden' {
  const family = isIP(address);
  if (family === 0 || address.includes('%')) return 'forbidden'; // a zone (%eth0) is for link-local addresses only
  // An IPv4 address written as IPv6 (::ffff:127.0.0.1) is matched against the IPv4 ranges by BlockList itself.
  const version = family === 4 ? V4 : V6;
  if (forbiddenRanges.check(address, version)) return 'forbidden';
  return privateRanges.check(address, version) ? 'private' : 'public';
}

function blockList(ranges: ReadonlyArray<readonly [string, number, 'ipv4' | 'ipv6']>): BlockList {
  const list = new BlockList();
  for (const [network, bits, version] of ranges) list.addSubnet(network, bits, version);
  return list;
}
