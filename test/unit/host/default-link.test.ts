import { expect, test } from 'vitest';
import { defaultLink } from '../../../src/host/default-link.ts';

test.each([
  ['linux', undefined, 'address'],
  ['linux', '', 'address'],
  ['linux', 'unix:///var/run/docker.sock', 'address'],
  ['linux', 'unix:///run/user/1000/docker.sock', 'sockets'],
  ['linux', 'ssh://me@there', 'sockets'],
  ['linux', 'tcp://10.0.0.7:2376', 'sockets'],
  ['darwin', undefined, 'sockets'],
  ['darwin', 'unix:///var/run/docker.sock', 'sockets'],
] as const)('on %s with DOCKER_HOST %j a machine reaches its bundle by %s', (platform, engine, link) => {
  expect(defaultLink(platform, engine === undefined ? {} : { DOCKER_HOST: engine })).toBe(link);
});
