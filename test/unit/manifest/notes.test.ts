import { expect, test } from 'vitest';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import { layerOf } from '../../../src/core/manifest/merge.ts';
import { hostsPastRoutes, loginNote, notesOn } from '../../../src/core/manifest/notes.ts';
import { PROVIDERS } from '../../../src/core/providers/providers.ts';

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

const layer = (bottle: object) =>
  layerOf({ value: bottleSchema.parse(bottle), origin: () => ({ file: 'b.md', position: null }) });

test('a host that has a route with auth and is open as well is reached past the credential', () => {
  const auth = { scheme: 'Bearer', token_ref: 'env:T' };
  const said = (allow: string[], host = 'ghe.test') =>
    hostsPastRoutes(layer({ allow, egress: { routes: [{ host, auth }, { host: 'plain.test' }] } })).map(
      ({ path, message }) => `${pathText(path)}: ${message}`,
    );
  expect(said(['plain.test', 'ghe.test private'])).toEqual([
    'allow[1]: ghe.test has a route with auth too: what goes to https://ghe.test itself gets no credential, only http://egress:9099/ghe.test/ does',
  ]);
  expect(said(['*.test'])).toHaveLength(1);
  expect(said(['other.test', 'ghe.test:8443'])).toEqual([]);
  expect(said(['ghe.test:8443'], 'ghe.test:8443')).toHaveLength(1);
});

test('an agent that nobody pays for is to log in by itself', () => {
  for (const provider of Object.values(PROVIDERS)) {
    const note = loginNote(layer({}), provider);
    expect(note?.message).toContain('log in by itself');
    for (const host of provider.hosts) expect(note?.message).toContain(host);
    for (const paid of [{ api_key: 'K' }, { base_url: 'https://m.test' }]) {
      expect(loginNote(layer({ agent_provider: paid }), provider)).toBeUndefined();
    }
  }
});
