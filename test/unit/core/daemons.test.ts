import { expect, test } from 'vitest';
import { ConfigError, parseDaemons, parseStatusLine, statusLine } from '../../../src/core/daemons.ts';

test.each([
  ['', []],
  [' , ,', []],
  ['pipelock', ['pipelock']],
  ['supervise, pipelock ,,pipelock', ['pipelock', 'supervise']],
  ['pipelock,egress,git-gate,supervise', ['pipelock', 'egress', 'git-gate', 'supervise']],
])('the csv %j names %j', (csv, names) => {
  expect(parseDaemons(csv)).toEqual(names);
});

test('an unknown name is refused, and quoted so that it cannot pass for anything else', () => {
  expect(() => parseDaemons('pipelock,Egress')).toThrow(ConfigError);
  expect(() => parseDaemons('a\n[init] status {}')).toThrow('unknown daemon "a\\n[init] status {}"');
});

test('a status line is read back as what was written, and no other line is', () => {
  const states = { pipelock: 'ready', egress: 'backoff' } as const;
  expect(statusLine(states)).toBe('[init] status {"pipelock":"ready","egress":"backoff"}');
  expect(parseStatusLine(statusLine(states))).toEqual(states);
  expect(parseStatusLine('[pipelock] [init] status {"pipelock":"ready"}')).toBeUndefined();
  expect(parseStatusLine('[init] status {"pipelock":"re')).toBeUndefined();
});
