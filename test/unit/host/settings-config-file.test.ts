import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { BottleError } from '../../../src/core/errors.ts';
import { problemText } from '../../../src/core/manifest/problems.ts';
import { type Config, readConfig, readConfigProblems } from '../../../src/host/config-file.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'bottle-config-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function config(text: string): Config {
  writeFileSync(path.join(home, 'config.yaml'), text);
  return readConfig({ home });
}

const defaults = {
  network: { pool: '10.214.0.0/16', uplink: 'bridge' },
  hosts: {},
  temporal: {},
  resources: {},
  capacity: {},
};

it('is all defaults without the file, and with an empty one', () => {
  expect(readConfig({ home })).toEqual(defaults);
  expect(config('')).toEqual(defaults);
  expect(config('# nothing yet\n')).toEqual(defaults);
});

it('reads every key', () => {
  const text = `
driver: smolvm
network: { pool: 172.20.0.0/14, uplink: company, ca: ~/company.pem }
temporal: { ui: "https://temporal.example/ui/" }
resources: { cpus: 1.5, memoryMiB: 4096, pids: 64 }
capacity: { bottles: 20, launching: 3, cpus: 8, freeMemoryMiB: 0, freeDiskMiB: 500 }
`;
  expect(config(text)).toEqual({
    driver: 'smolvm',
    network: { pool: '172.20.0.0/14', uplink: 'company', ca: '~/company.pem' },
    hosts: {},
    temporal: { ui: 'https://temporal.example/ui' },
    resources: { cpus: 1.5, memoryMiB: 4096, pids: 64 },
    capacity: { bottles: 20, launching: 3, cpus: 8, freeMemoryMiB: 0, freeDiskMiB: 500 },
  });
});

it('has the defaults of what is not said of the network', () => {
  expect(config('network: { uplink: company_net-1.2 }').network).toEqual({
    pool: '10.214.0.0/16',
    uplink: 'company_net-1.2',
  });
  expect(config('network: { pool: 10.0.0.0/8 }').network.uplink).toBe('bridge');
  expect(config('network: {}').network).toEqual(defaults.network);
});

it('takes pools from /8 to /28', () => {
  expect(config('network: { pool: 10.0.0.0/8 }').network.pool).toBe('10.0.0.0/8');
  expect(config('network: { pool: 10.214.3.16/28 }').network.pool).toBe('10.214.3.16/28');
});

it.each([
  ['driver: podman', '1:9: driver: expected docker or smolvm, got "podman"'],
  ['network: { pool: 10.214.0.0/29 }', '1:18: network.pool: expected an IPv4 network'],
  ['network: { pool: 10.0.0.0/7 }', '1:18: network.pool: expected an IPv4 network'],
  ['network: { pool: 10.214.3.0/16 }', '1:18: network.pool: expected an IPv4 network'],
  ['network: { pool: 10.300.0.0/16 }', '1:18: network.pool: expected an IPv4 network'],
  ['network: { pool: 10.214.0.0 }', '1:18: network.pool: expected an IPv4 network'],
  ['network: { pool: 12 }', '1:18: network.pool: expected a network such as 10.214.0.0/16, got a number'],
  ['network: 10.214.0.0/16', '1:10: network: expected key: value pairs, got text'],
  ['network: { uplink: "" }', '1:20: network.uplink: expected the name of a Docker network'],
  ['network: { uplink: 7 }', '1:20: network.uplink: expected the name of a Docker network, got a number'],
  ['network: { uplink: -rm }', '1:20: network.uplink: expected the name of a Docker network'],
  ['network: { uplink: "a/b" }', '1:20: network.uplink: expected the name of a Docker network'],
  ['network: { uplink: "a\\nb" }', '1:20: network.uplink: expected the name of a Docker network'],
  ['network: { ca: company.pem }', '1:16: network.ca: expected an absolute path on the host, or one below ~/'],
  ['network: { ca: ~/ }', '1:16: network.ca: expected an absolute path on the host, or one below ~/'],
  ['network: { ca: 1 }', '1:16: network.ca: expected a file, got a number'],
  ['network: { dns: x }', '1:12: network.dns: unknown key (known: pool, uplink, link, ca, proxy)'],
  ['network: { proxy: proxy:3128 }', '1:19: network.proxy: expected http://HOST:PORT'],
  [
    'network: { proxy: "http://me:s3cret@proxy:3128" }',
    '1:19: network.proxy: expected an address without a login: {url:',
  ],
  [
    'network: { proxy: { url: "http://me@proxy" } }',
    '1:26: network.proxy.url: expected an address without a login: {url:',
  ],
  ['network: { proxy: "socks5://proxy" }', '1:19: network.proxy: expected http://HOST:PORT: SOCKS is not spoken'],
  [
    'network: { proxy: "https://proxy" }',
    '1:19: network.proxy: expected http://HOST:PORT: a proxy that is spoken to over TLS',
  ],
  ['network: { proxy: "http://proxy/path" }', '1:19: network.proxy: expected http://HOST:PORT'],
  [
    'network: { proxy: 3128 }',
    '1:19: network.proxy: expected http://HOST:PORT, or {url, username, password, no_proxy}',
  ],
  [
    'network: { proxy: { url: "http://p", password: env:P } }',
    '1:48: network.proxy.password: expected username beside password',
  ],
  [
    'network: { proxy: { url: "http://p", user: x } }',
    '1:38: network.proxy.user: unknown key (known: url, username, password, no_proxy)',
  ],
  ['network: { proxy: { url: "http://p", no_proxy: ["a b"] } }', '1:49: network.proxy.no_proxy[0]: expected a name'],
  ['temporal: { ui: "temporal.example" }', '1:17: temporal.ui: expected an http or https URL'],
  ['temporal: { ui: "javascript:alert(1)" }', '1:17: temporal.ui: expected an http or https URL'],
  ['resources: { cpus: 0 }', '1:20: resources.cpus: expected more than 0 CPUs'],
  ['resources: { memoryMiB: 12.5 }', '1:25: resources.memoryMiB: expected a whole number of MiB, got 12.5'],
  ['resources: { memoryMiB: 64 }', '1:25: resources.memoryMiB: expected at least 128 MiB'],
  ['resources: { memory: 64 }', '1:14: resources.memory: unknown key; did you mean memoryMiB?'],
  ['# why\n\ndrivers: docker', '3:1: drivers: unknown key; did you mean driver?'],
  ['bottles: {}', '1:1: bottles: each bottle is a file: bottles/NAME.md'],
  ['- docker', '1:1: expected key: value pairs, got a list'],
  ['driver: docker\ndriver: smolvm', '2:1: is not YAML: a key stands here twice'],
  ['driver: [docker', '1:16: is not YAML: a [ or { is not closed'],
  ['driver: &x docker', '1:12: anchors and aliases'],
])('refuses %j', (text, message) => {
  expect(() => config(text)).toThrow(
    expect.objectContaining({ code: 'MANIFEST_INVALID', message: expect.stringContaining(`config.yaml:${message}`) }),
  );
});

it('tells everything that is wrong, from the top, and what stands in the place of the file', () => {
  const text = 'resources: { cpus: 0, pids: 1 }\nnetwork: { pool: 1 }\ndriver: x\nzzz: 1\n';
  const { problems } = fault(() => config(text));
  expect(problems.map((problem) => problem.replace(/^.*config\.yaml:(\d+):.*$/, '$1'))).toEqual([
    '1',
    '1',
    '2',
    '3',
    '4',
  ]);
  expect(readConfigProblems({ home }).map(problemText)).toEqual(problems);
  writeFileSync(path.join(home, 'config.yaml'), 'driver: docker');
  expect(readConfigProblems({ home })).toEqual([]);
  rmSync(path.join(home, 'config.yaml'));
  expect(readConfigProblems({ home })).toEqual([]);
  mkdirSync(path.join(home, 'config.yaml'));
  expect(fault(() => readConfig({ home })).message).toBe(`${home}/config.yaml: cannot be read (EISDIR)`);
});

it('takes a proxy by its address, or with a login and what is reached without it', () => {
  expect(config('network: { proxy: "http://proxy.corp:3128" }').network.proxy).toEqual({
    host: 'proxy.corp',
    port: 3128,
    username: null,
    password: null,
    noProxy: [],
  });
  const text =
    'network: { proxy: { url: "http://10.0.0.7:8080/", username: me, password: env:PW, no_proxy: [.Corp.example, 10.0.0.0/8] } }';
  expect(config(text).network.proxy).toEqual({
    host: '10.0.0.7',
    port: 8080,
    username: 'me',
    password: 'env:PW',
    noProxy: ['corp.example', '10.0.0.0/8'],
  });
});

it('repeats nothing of an address with a login in it', () => {
  const { problems } = fault(() => config('network: { proxy: "http://me:s3cret@proxy:3128" }'));
  expect(problems.join()).not.toContain('s3cret');
  expect(problems.join()).toContain('{url: "http://HOST:PORT", username: NAME, password: env:VARIABLE}');
});

function fault(act: () => unknown): BottleError {
  try {
    act();
  } catch (error) {
    return error as BottleError;
  }
  throw new Error('it was taken');
}
