import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { fixedPart, type PipelockYamlInput, pipelockYaml } from '../../../src/core/pipelock-yaml.ts';
import { findProgram } from '../../../src/host/bundle-programs.ts';

const listen = { host: '10.214.3.18', port: 8888 };
const yaml = (change: Partial<PipelockYamlInput> = {}): string =>
  pipelockYaml({ listen, allow: [], formerlyAllowed: [], egress: false, intercept: false, ...change });

/** What a person may have written, and what becomes of it; the golden files are the very texts that pipelock gets. */
const CASES: Record<string, Partial<PipelockYamlInput>> = {
  nothing: {},
  egress: { egress: true },
  hosts: { allow: ['example.com', '*.example.org', 'example.net:8443', 'intranet.test private', '10.1.2.3 private'] },
  grants: { egress: true, allow: ['example.com', 'granted.test'], formerlyAllowed: ['ended.test'] },
  odd: { allow: ['under_score.test', '[2001:db8::7]:8443', '[fd00::1] private'] },
  intercepting: {
    egress: true,
    intercept: true,
    allow: ['example.com', '*.example.org', 'pinned.test tunnel', 'intranet.test private', '10.1.2.3 private tunnel'],
    formerlyAllowed: ['ended.test'],
  },
};

describe.each(Object.entries(CASES))('for %s', (name, input) => {
  test('is this text', async () => {
    await expect(yaml(input)).toMatchFileSnapshot(`../../fixtures/golden/pipelock-${name}.yaml`);
  });
});

const found = process.platform === 'linux' ? await findProgram('pipelock') : undefined;
if (found === undefined) {
  console.warn("pipelock's own check of its configuration is skipped: none in BOTTLE_TOOLS, on PATH or in the cache");
}
/** How pipelock's own check ends for a text, and what it says. */
function check(text: string): { status: number | null; said: string } {
  const directory = mkdtempSync(path.join(tmpdir(), 'bottle-pipelock-'));
  try {
    spawnSync(found?.path ?? '', ['tls', 'init', '--out', directory]);
    const file = path.join(directory, 'pipelock.yaml');
    writeFileSync(file, text.replaceAll('/run/bottle/pipelock', directory));
    const { status, stderr } = spawnSync(found?.path ?? '', ['check', '--config', file], { encoding: 'utf8' });
    return { status, said: stderr };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe.skipIf(found === undefined)('pipelock itself', () => {
  test.each(Object.entries(CASES))('accepts the one for %s', (_name, input) => {
    expect(check(yaml(input))).toMatchObject({ status: 0, said: expect.stringContaining('Config validation: OK') });
  });

  test('refuses a key that it does not know, so what it accepts counts', () => {
    expect(check(`${yaml()}no_such_key: 1\n`).status).not.toBe(0);
  });
});

describe('what a running pipelock takes', () => {
  test('is another allow-list', () => {
    expect(fixedPart(yaml({ allow: ['a.test'], formerlyAllowed: ['b.test'] }))).toBe(
      fixedPart(yaml({ allow: ['a.test', 'b.test'] })),
    );
    expect(fixedPart(yaml({ allow: ['a.test'] }))).not.toContain('api_allowlist');
  });

  test('is the end of some hosts among others, in whatever order they were granted', () => {
    const before = yaml({ allow: ['z.test', 'a.test private', 'm.test', '10.0.0.9 private'] });
    const after = yaml({ allow: ['m.test', 'z.test'], formerlyAllowed: ['10.0.0.9 private', 'a.test private'] });
    expect(fixedPart(after)).toBe(fixedPart(before));
    expect(parse(after).api_allowlist).toEqual(['m.test', 'z.test']);
  });

  test.each<[string, Partial<PipelockYamlInput>]>([
    ['a host it never knew, whose tunnels it would look into', { allow: ['a.test', 'new.test'] }],
    ['a name that may be private', { allow: ['a.test private'] }],
    ['egress', { allow: ['a.test'], egress: true }],
    ['another address', { allow: ['a.test'], listen: { host: '10.0.0.1', port: 8888 } }],
    ['interception', { allow: ['a.test'], intercept: true }],
  ])('is not %s', (_what, input) => {
    expect(fixedPart(yaml(input))).not.toBe(fixedPart(yaml({ allow: ['a.test'] })));
  });
});

describe('the configuration', () => {
  const config = (change: Partial<PipelockYamlInput> = {}) => parse(yaml(change));

  test('never passes egress through unread, and trusts no other name to be private', () => {
    const { tls_interception: tls, trusted_domains: trusted } = config({ egress: true, allow: ['a.test'] });
    expect([tls.enabled, tls.passthrough_domains, trusted]).toEqual([true, ['a.test'], ['egress']]);
  });

  test('lists a host that was granted once as one to pass, but not as one to reach', () => {
    const { api_allowlist: reach, tls_interception: tls } = config({ allow: ['a.test'], formerlyAllowed: ['b.test'] });
    expect([reach, tls.passthrough_domains]).toEqual([['a.test'], ['a.test', 'b.test']]);
  });

  test('that intercepts passes nothing unread but what says ` tunnel`, and reads the other hosts at all ports', () => {
    const allow = ['a.test', '*.b.test', 'c.test tunnel', '*.d.test:8443 tunnel private', 'a.test:8443'];
    expect(config({ intercept: true, allow }).tls_interception.passthrough_domains).toEqual(['*.d.test', 'c.test']);
    expect(config({ intercept: false, allow }).tls_interception.passthrough_domains).toHaveLength(4);
    expect(config({ intercept: true }).tls_interception.passthrough_domains).toEqual([]);
  });

  test('that intercepts takes the end of a grant while it runs, as the other one does', () => {
    const before = yaml({ intercept: true, allow: ['a.test', 'b.test'] });
    expect(fixedPart(yaml({ intercept: true, allow: ['a.test'], formerlyAllowed: ['b.test'] }))).toBe(
      fixedPart(before),
    );
  });

  test('limits an answer that is read to what fits into the memory of the bundle', () => {
    const { max_response_bytes: limit } = config({ intercept: true }).tls_interception;
    // Measured: 25 times as much while it is read; the bundle has 1 GiB then.
    expect(limit * 25).toBeLessThan(1024 ** 3);
    expect(limit).toBeGreaterThan(20e6);
  });

  test('lets through what is not JSON to each host by every name that it has, as far as pipelock takes that name', () => {
    const { allowlist_unparseable: names } = config({
      allow: ['a.test', '*.b.test', 'under_score.test', '[2001:db8::7]', '10.1.2.3'],
    }).redaction;
    expect(names).toEqual(['*.b.test', 'b.test', '10.1.2.3', 'a.test']);
  });

  test('takes nothing out of images, sound and film', () => {
    expect(config().media_policy).toEqual({ enabled: false });
  });

  test('redacts no private key: its first line alone would go, and the key itself would pass', () => {
    const { classes } = config().redaction.profiles.agent;
    expect(classes).not.toContain('ssh-private-key');
    expect(classes).toContain('aws-access-key');
  });

  test('is said in one way for one input, whatever stands twice in it', () => {
    const twice = yaml({ allow: ['a.test', 'A.test.', 'a.test:8443', 'a.test'], formerlyAllowed: ['a.test'] });
    expect(twice).toBe(yaml({ allow: ['a.test'] }));
  });

  test('reaches a host again that ended once', () => {
    expect(config({ allow: ['a.test'], formerlyAllowed: ['a.test'] }).api_allowlist).toEqual(['a.test']);
  });

  test('lets a private address through only where it is named as one', () => {
    expect(config({ allow: ['10.1.2.3 private', '[fd00::1] private'] }).ssrf).toEqual({
      ip_allowlist: ['10.1.2.3/32', 'fd00::1/128'],
    });
    expect(config({ allow: ['93.184.216.34'] }).ssrf).toBeUndefined();
  });
});
