import { expect, test } from 'vitest';
import { addressKind } from '../../../src/bundle/address.ts';

test.each([
  ['93.184.216.34', 'public'],
  ['172.32.0.1', 'public'],
  ['2606:2800:220:1::1', 'public'],
  ['127.0.0.1', 'private'],
  ['127.255.0.9', 'private'],
  ['10.214.3.18', 'private'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.168.1.1', 'private'],
  ['100.64.0.1', 'private'],
  ['::1', 'private'],
  ['fd00::1', 'private'],
  ['::ffff:127.0.0.1', 'private'],
  ['::ffff:a00:1', 'private'],
  ['::ffff:93.184.216.34', 'public'],
  ['0.0.0.0', 'forbidden'],
  ['169.254.169.254', 'forbidden'],
  ['::ffff:169.254.169.254', 'forbidden'],
  ['224.0.0.1', 'forbidden'],
  ['255.255.255.255', 'forbidden'],
  ['::', 'forbidden'],
  ['fe80::1', 'forbidden'],
  ['ff02::1', 'forbidden'],
  ['64:ff9b::7f00:1', 'forbidden'],
  ['2002:7f00:1::', 'forbidden'],
  ['not an address', 'forbidden'],
  ['fe80::1%eth0', 'forbidden'],
  ['::1%lo', 'forbidden'],
  ['', 'forbidden'],
])('%s is %s', (address, kind) => {
  expect(addressKind(address)).toBe(kind);
});
