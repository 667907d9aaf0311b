import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { expectations, judge, probeArgv, searchOf, wayOutOf } from '../../../src/activities/check.ts';

const good = {
  proxy: '200',
  listed: '{"host":"api.anthropic.com","verdict":"allow"}',
  unlisted: '403',
  'unlisted-tls': '403',
  direct: '* connect to 1.1.1.1 port 80 failed: No route to host',
  gateway: '* connect to 10.214.3.17 port 80 failed: No route to host',
  networks: '10.214.3.19/28 ',
  agent: '2.1.330 (Claude Code)',
};
/** A bottle with one daemon, behind the proxy that can be asked. */
const SIMPLE = expectations({
  driver: 'docker',
  link: undefined,
  daemons: ['pipelock'],
  scanner: 'allow-list',
  allow: ['api.anthropic.com'],
});
const findings = (change: Record<string, string>): string[] => judge({ ...good, ...change }, SIMPLE);

test('a bottle as it should be has no findings', () => {
  expect(judge(good, SIMPLE)).toEqual([]);
});

test('silence is a finding: a probe that did not run proves nothing', () => {
  expect(judge({}, SIMPLE)).toHaveLength(Object.keys(good).length);
  for (const name of Object.keys(good)) {
    const { [name as keyof typeof good]: _, ...rest } = good;
    expect(judge(rest, SIMPLE)).toEqual([expect.stringMatching(new RegExp(`\\(${name}: no answer\\)$`))]);
    expect(findings({ [name]: '' })).toEqual([expect.stringContaining(`(${name}: )`)]);
  }
});

test.each(['No route to host', 'Network is unreachable', 'Connection timed out', 'Timeout was reached'])(
  'nobody there is as it should be: %s',
  (why) => {
    expect(findings({ direct: `* Failed: ${why}`, gateway: `* Failed: ${why}` })).toEqual([]);
  },
);

test.each(['* Connected to 1.1.1.1 (1.1.1.1) port 80', '* connect failed: Connection refused'])(
  'somebody there is a finding, even who refuses: %s',
  (said) => {
    expect(findings({ direct: said })).toEqual([expect.stringContaining('the internet can be reached directly')]);
    expect(findings({ gateway: said })).toEqual([
      expect.stringContaining('the host can be reached through the gateway'),
    ]);
  },
);

test.each([
  ['proxy', '000', 'the way out through the bundle does not answer'],
  ['proxy', '2000', 'the way out through the bundle does not answer'],
  ['listed', '{"verdict":"deny"}', 'a listed host is refused'],
  ['unlisted', '502', 'an unlisted host is not refused'],
  ['unlisted-tls', '200', 'an unlisted host is not refused over TLS'],
  ['networks', '10.214.3.19/28 172.17.0.2/16 ', 'the machine is on another network than its own'],
  ['agent', 'sh: claude: not found', 'the agent does not run'],
])('%s seen as %j is the finding "%s"', (name, value, finding) => {
  expect(findings({ [name]: value })).toEqual([`${finding} (${name}: ${value.slice(0, 120)})`]);
});

test('what a machine printed is cut short, and all findings are told', () => {
  const all = findings({ agent: 'x'.repeat(5000), proxy: '000' });
  expect(all).toHaveLength(2);
  expect(all.join('').length).toBeLessThan(400);
});

test('pipelock is not asked what it would do; nothing listed, nobody is', () => {
  const { listed: _, ...unasked } = good;
  expect(
    judge(
      unasked,
      expectations({
        driver: 'docker',
        link: undefined,
        daemons: ['pipelock'],
        scanner: 'pipelock',
        allow: ['a.test'],
      }),
    ),
  ).toEqual([]);
  expect(
    judge(
      unasked,
      expectations({ driver: 'docker', link: undefined, daemons: ['pipelock'], scanner: 'allow-list', allow: [] }),
    ),
  ).toEqual([]);
});

describe('of all four daemons', () => {
  const FULL = expectations({
    driver: 'docker',
    link: undefined,
    front: true,
    daemons: ['pipelock', 'egress', 'git-gate', 'supervise'],
    scanner: 'pipelock',
    allow: [],
  });
  const full = {
    ...good,
    egress: '200',
    'egress-name': '200',
    'egress-direct': '421',
    'egress-scanned': '403',
    'egress-tunnel': '000',
    'egress-front-tunnel': '405',
    'git-gate': '404',
    supervise: '405',
  };

  test('each must answer, and egress only through the scanner', () => {
    expect(judge(full, FULL)).toEqual([]);
    expect(judge(good, FULL)).toHaveLength(8);
  });

  test.each([
    ['egress', '403', 'egress cannot be reached through the scanner'],
    ['egress-name', '000', 'egress cannot be reached by its name without a proxy'],
    ['egress-direct', '200', 'egress can be reached without the scanner'],
    ['egress-direct', '000', 'egress can be reached without the scanner'],
    // What egress itself would answer, and what the other scanner would.
    ['egress-scanned', '200', 'what is asked of egress by its name is not scanned'],
    ['egress-scanned', '411', 'what is asked of egress by its name is not scanned'],
    ['egress-front-tunnel', '200', 'whoever answers to the name of egress makes tunnels'],
    ['egress-tunnel', '200', 'egress can be reached by a tunnel past the scanner'],
    ['git-gate', '000', 'the push gate does not answer'],
    ['supervise', '000', 'supervise does not answer'],
  ])('%s seen as %s is a finding', (name, value, finding) => {
    expect(judge({ ...full, [name]: value }, FULL)).toEqual([`${finding} (${name}: ${value})`]);
  });
});

test('a bundle that takes ten seconds to answer, on a busy computer, is not taken for one that does not', () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-check-'));
  try {
    const curl = path.join(directory, 'curl');
    writeFileSync(
      curl,
      `#!/bin/sh
      for word; do [ "$before" = --max-time ] && patience=$word; before=$word; done
      [ "$patience" -gt 10 ] && printf 405 || printf 000`,
    );
    chmodSync(curl, 0o755);
    const network = {
      name: 'b',
      subnet: '10.0.0.0/28',
      gateway: '10.0.0.1',
      bundleIp: '10.0.0.2',
      machineIp: '10.0.0.3',
    };
    const input = {
      driver: 'docker',
      network,
      daemons: ['supervise'],
      scanner: 'pipelock',
      template: 'true',
      allow: [],
    };
    const [shell = '', option = '', script = '', ...args] = probeArgv(
      input as unknown as Parameters<typeof probeArgv>[0],
    );
    // What comes after the probes' beginning looks through the machine's files, which are this computer's here.
    const probes = `exec 2>&1\n${script.slice(0, script.indexOf('\ncat /proc/'))}\nwait`;
    const env = { PATH: `${directory}:${process.env['PATH']}` };
    const seen = execFileSync(shell, [option, probes, ...args], {
      env,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(seen).toContain('supervise\t405\n');
    expect(seen).toContain('unlisted-tls\t405\n');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('a bundle from before the machine found egress by its name is judged as it was then', () => {
  const older = expectations({
    driver: 'docker',
    link: undefined,
    daemons: ['pipelock', 'egress'],
    scanner: 'pipelock',
    allow: [],
  });
  // Nobody stands where the name leads now, and the name itself is none.
  const seen = {
    ...good,
    egress: '200',
    'egress-name': '000',
    'egress-direct': '000',
    'egress-scanned': '000',
    'egress-tunnel': '403',
    'egress-front-tunnel': '000',
  };
  expect(judge(seen, older)).toEqual([]);
  expect(judge({ ...seen, 'egress-direct': '421' }, older)).toEqual([]);
  expect(judge({ ...seen, 'egress-direct': '200', 'egress-tunnel': '200' }, older)).toHaveLength(2);
});

describe('of a microVM', () => {
  const of = (link: 'address' | 'sockets') =>
    expectations({
      driver: 'smolvm',
      link,
      daemons: ['pipelock'],
      scanner: 'allow-list',
      allow: ['api.anthropic.com'],
    });
  const dropped = '* Connection timed out after 2001 milliseconds';
  const vm = { ...good, direct: dropped, gateway: dropped, host: dropped, names: 'none' };
  const none = { ...vm, host: 'unreachable', networks: '' };

  test('one that reaches the bundle by its address has one network, no host and no names', () => {
    expect(judge(vm, of('address'))).toEqual([]);
    expect(judge({ ...vm, host: '* connect to 100.96.0.1 port 80 failed: Connection refused' }, of('address'))).toEqual(
      [expect.stringContaining("through the machine's own gateway")],
    );
    expect(judge({ ...vm, names: 'answered' }, of('address'))).toEqual([
      expect.stringContaining('names of the internet'),
    ]);
    expect(judge({ ...vm, networks: '' }, of('address'))).toHaveLength(1);
  });

  test('one that reaches it by sockets has no network at all', () => {
    expect(judge(none, of('sockets'))).toEqual([]);
    expect(judge(vm, of('sockets'))).toEqual([expect.stringContaining('should be on none')]);
  });
});

test('a way out that leads nowhere is told in one line, which is not long', () => {
  const told = (change: object): string =>
    JSON.stringify({ reached: false, host: 'api.example.com', why: 'cannot resolve api.example.com', ...change });
  expect(wayOutOf(told({}))).toEqual({ wayOut: { host: 'api.example.com', why: 'cannot resolve api.example.com' } });
  expect(wayOutOf(told({ why: ` a\n\u001b[31m\u202eb${'c'.repeat(999)}` }))?.wayOut?.why).toMatch(/^a \[31m bc{292}$/);
});

test.each([undefined, '', 'null', '7', '{"reached":true}', '{"reached":false,"host":"h"}', '{"reached":fal'])(
  'nothing is told of %j',
  (told) => {
    expect(wayOutOf(told)).toBeNull();
  },
);

describe('what was not looked through is told', () => {
  const told = async (searched: string) => {
    const printed = Readable.from([Buffer.from(`some files\n--searched--${searched}\n`)]);
    return (await searchOf(printed, new Map())).unsearched;
  };

  test.each([
    ['all of it', '100 100', undefined],
    ['large files were cut', '100 40', { bytes: 100, searchedBytes: 40 }],
  ])('%s', async (_what, searched, unsearched) => {
    expect(await told(searched)).toEqual(unsearched);
  });

  test('a search whose time was over says so, and how far it came', async () => {
    const { bytes, searchedBytes = 0 } = (await told('1000 1000 cut')) ?? {};
    expect(bytes).toBe(1000);
    expect(searchedBytes).toBeLessThan(100);
  });
});
