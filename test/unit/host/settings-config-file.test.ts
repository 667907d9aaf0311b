import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Config, readConfig } from '../../../src/host/config-file.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'bottle-config-'));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function config(text: string): Config {
  writeFileSync(path.join(home, 'config.yaml'), text);
  return readConfig({ home });
}

const defaults = { network: { pool: '10.214.0.0/16', uplink: 'bridge' }, temporal: {}, resources: {} };

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
resources: { cpus: 1.5, memoryMiB: 4096 }
`;
  expect(config(text)).toEqual({
    driver: 'smolvm',
    network: { pool: '172.20.0.0/14', uplink: 'company', ca: '~/company.pem' },
    temporal: { ui: 'https://temporal.example/ui' },
    resources: { cpus: 1.5, memoryMiB: 4096 },
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
  ['driver: podman', 'driver: expected "docker" or "smolvm"'],
  ['network: { pool: 10.214.0.0/29 }', 'network.pool: expected an IPv4 network'],
  ['network: { pool: 10.0.0.0/7 }', 'network.pool: expected an IPv4 network'],
  ['network: { pool: 10.214.3.0/16 }', 'network.pool: expected an IPv4 network'],
  ['network: { pool: 10.300.0.0/16 }', 'network.pool: expected an IPv4 network'],
  ['network: { pool: 10.214.0.0 }', 'network.pool: expected an IPv4 network'],
  ['network: { pool: 12 }', 'network.pool: expected a network'],
  ['network: 10.214.0.0/16', 'network: expected a mapping'],
  ['network: { uplink: "" }', 'network.uplink: expected the name of a Docker network'],
  ['network: { uplink: 7 }', 'network.uplink: expected the name of a Docker network'],
  ['network: { uplink: -rm }', 'network.uplink: expected the name of a Docker network'],
  ['network: { uplink: "a/b" }', 'network.uplink: expected the name of a Docker network'],
  ['network: { uplink: "a\\nb" }', 'network.uplink: expected the name of a Docker network'],
  ['network: { ca: company.pem }', 'network.ca: expected an absolute path, or one below ~/'],
  ['network: { ca: ~/ }', 'network.ca: expected an absolute path, or one below ~/'],
  ['network: { ca: 1 }', 'network.ca: expected a PEM file'],
  ['network: { dns: x }', 'unknown key network.dns'],
  ['temporal: { ui: "temporal.example" }', 'temporal.ui: expected an http or https URL'],
  ['temporal: { ui: "javascript:alert(1)" }', 'temporal.ui: expected an http or https URL'],
  ['resources: { cpus: 0 }', 'resources.cpus: expected more than 0 CPUs'],
  ['resources: { memoryMiB: 12.5 }', 'resources.memoryMiB: expected a whole number of MiB'],
  ['resources: { memoryMiB: 64 }', 'resources.memoryMiB: expected at least 128 MiB'],
  ['resources: { memory: 64 }', 'unknown key resources.memory'],
  ['drivers: docker', 'unknown key drivers'],
  ['- docker', 'the file: expected a mapping'],
  ['driver: docker\ndriver: smolvm', 'is not YAML: Map keys must be unique'],
  ['driver: [docker', 'is not YAML: '],
])('refuses %j', (text, message) => {
  expect(() => config(text)).toThrow(
    expect.objectContaining({ code: 'MANIFEST_INVALID', message: expect.stringContaining(`config.yaml: ${message}`) }),
  );
});
