import { expect, test } from 'vitest';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { notesOn } from '../../../src/core/manifest/notes.ts';

const notes = (bottle: object) =>
  notesOn(bottleSchema.parse(bottle)).map(({ path, message }) => `${pathText(path)}: ${message}`);

test('a bottle that says nothing of older versions is told nothing', () => {
  expect(notes({})).toEqual([]);
  const routes = [{ host: 'a.test', matches: [{ methods: ['GET'] }], private: true }, { host: 'b.test' }];
  expect(notes({ egress: { routes }, supervise: true, allow: ['c.test'] })).toEqual([]);
  // Both are followed to the letter.
  expect(notes({ egress: { routes: [{ host: 'a.test', path_allowlist: ['/v1'], pipelock: {} }] } })).toEqual([]);
});

test('what is read but not followed is named with its place, route by route', () => {
  const routes = [
    { host: 'plain.test' },
    { host: 'a.test', dlp: { inbound_detectors: false } },
    { host: 'b.test', dlp: {}, pipelock: { tls_passthrough: true, ssrf_ip_allowlist: ['10.0.0.0/8'] } },
    { host: 'c.test', pipelock: { tls_passthrough: false, ssrf_ip_allowlist: [] } },
  ];
  expect(notes({ egress: { log: 'full', routes } })).toEqual([
    expect.stringMatching(/^egress\.routes\[1\]\.dlp: read, not followed: /),
    expect.stringMatching(/^egress\.routes\[2\]\.dlp: read, not followed: /),
    expect.stringMatching(/^egress\.routes\[2\]\.pipelock\.tls_passthrough: read, not needed: /),
    expect.stringMatching(/^egress\.routes\[2\]\.pipelock\.ssrf_ip_allowlist: read as private: true/),
    expect.stringMatching(/^egress\.routes\[3\]\.pipelock\.tls_passthrough: read, not needed: /),
    expect.stringMatching(/^egress\.log: read, not followed: /),
  ]);
});
