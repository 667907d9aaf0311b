import { expect, test } from 'vitest';
import { routeIdOf, routeUpstream } from '../../../src/core/route-id.ts';

test.each([
  ['API.Example.com.', 'api.example.com', 'https://api.example.com'],
  ['x.test:443', 'x.test', 'https://x.test'],
  ['x.test:80', 'x.test:80', 'https://x.test:80'],
  ['x.test:08443', 'x.test:8443', 'https://x.test:8443'],
  ['192.0.2.7', '192.0.2.7', 'https://192.0.2.7'],
  ['[2001:DB8::7]', '2001:db8::7', 'https://[2001:db8::7]'],
  ['[2001:db8::7]:8443', '2001:db8::7:8443', 'https://[2001:db8::7]:8443'],
])('a route to %s is %s, and leads to %s', (host, id, upstream) => {
  expect([routeIdOf(host), routeUpstream(host)]).toEqual([id, upstream]);
  expect(new URL(upstream).origin).toBe(upstream);
  expect(id).toMatch(/^[a-z0-9.:_-]+$/);
});

test('what is no host has none', () => {
  expect(() => routeIdOf('https://x.test')).toThrow(TypeError);
});
