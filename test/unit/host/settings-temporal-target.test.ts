import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Settings, settings } from '../../../src/host/settings.ts';
import { hostAndPort, temporalTarget } from '../../../src/host/temporal-target.ts';

const KEY = 'key-that-nobody-may-see';
let home: string;
let here: Settings;
beforeEach(() => {
  home = mkdtempSync(path.join(tmpdir(), 'bottle-target-'));
  here = settings({ BOTTLE_HOME: home, BOTTLE_PORT: '7300' });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

/** Only what the test says: HOME keeps the profile file of whoever runs it out. */
const target = (env: NodeJS.ProcessEnv) => temporalTarget(here, { HOME: home, ...env });

function profileFile(text: string): string {
  const file = path.join(home, 'temporal.toml');
  writeFileSync(file, text);
  return file;
}

describe('without an address', () => {
  it('is the embedded server', async () => {
    const found = await target({});
    expect(found).toMatchObject({
      kind: 'embedded',
      address: '127.0.0.1:7300',
      namespace: 'default',
      uiBase: 'http://127.0.0.1:8300',
    });
    expect(found.uiUrl('demo')).toBe('http://127.0.0.1:8300/namespaces/default/workflows/demo');
    expect(found.uiUrl('demo', 'run-1')).toBe('http://127.0.0.1:8300/namespaces/default/workflows/demo/run-1/history');
    expect(found.uiListUrl(`BottlePhase = 'held'`)).toBe(
      "http://127.0.0.1:8300/namespaces/default/workflows?query=BottlePhase%20%3D%20'held'",
    );
  });

  it('is the embedded server in the named namespace, and it gets no key that was meant for another server', async () => {
    const found = await target({
      TEMPORAL_NAMESPACE: 'team',
      TEMPORAL_API_KEY: KEY,
      TEMPORAL_TLS: 'true',
      TEMPORAL_ADDRESS: '',
    });
    expect(found).toMatchObject({ kind: 'embedded', namespace: 'team' });
    expect(found.connectionOptions).toEqual({ address: '127.0.0.1:7300' });
  });
});

describe('with an address', () => {
  it('takes it from the environment, with key and TLS', async () => {
    const ca = path.join(home, 'ca.pem');
    writeFileSync(ca, 'PEM');
    const found = await target({
      TEMPORAL_ADDRESS: 'temporal.example:443',
      TEMPORAL_NAMESPACE: 'team',
      TEMPORAL_API_KEY: KEY,
      TEMPORAL_TLS_SERVER_CA_CERT_PATH: ca,
      TEMPORAL_TLS_SERVER_NAME: 'inner.example',
      TEMPORAL_GRPC_META_TEAM: 'blue',
    });
    expect(found).toMatchObject({ kind: 'external', address: 'temporal.example:443', namespace: 'team', uiBase: null });
    expect(found.connectionOptions).toMatchObject({
      apiKey: KEY,
      metadata: { team: 'blue' },
      tls: { serverNameOverride: 'inner.example' },
    });
    const { tls } = found.connectionOptions;
    expect(Buffer.from((tls as { serverRootCACertificate: Uint8Array }).serverRootCACertificate).toString()).toBe(
      'PEM',
    );
    expect(found.uiUrl('demo')).toBeNull();
    expect(found.uiListUrl()).toBeNull();
  });

  it('takes it from the selected profile, and the environment goes before it', async () => {
    const file = profileFile(`
[profile.default]
namespace = "a"
[profile.prod]
address = "prod.example"
namespace = "b"
api_key = "${KEY}"
`);
    const env = { TEMPORAL_CONFIG_FILE: file };
    expect(await target(env)).toMatchObject({ kind: 'embedded', namespace: 'a' });
    const prod = await target({ ...env, TEMPORAL_PROFILE: 'prod' });
    expect(prod).toMatchObject({ kind: 'external', address: 'prod.example:7233', namespace: 'b' });
    expect(prod.connectionOptions).toEqual({ address: 'prod.example:7233', apiKey: KEY, tls: true });
    const mixed = await target({ ...env, TEMPORAL_PROFILE: 'prod', TEMPORAL_NAMESPACE: 'c', TEMPORAL_TLS: 'false' });
    expect(mixed).toMatchObject({ namespace: 'c', connectionOptions: { tls: false } });
  });

  it('shows no key when it is printed, copied or serialised', async () => {
    const found = await target({ TEMPORAL_ADDRESS: 'temporal.example', TEMPORAL_API_KEY: KEY });
    expect(found.connectionOptions.apiKey).toBe(KEY);
    expect([inspect(found, { depth: 9 }), JSON.stringify(found), JSON.stringify({ ...found })].join()).not.toContain(
      KEY,
    );
  });

  it.each([
    ['127.0.0.1:7500', 'http://127.0.0.1:8500'],
    ['localhost', 'http://localhost:8233'],
    ['[::1]:7233', 'http://[::1]:8233'],
    ['127.0.0.1:65000', null],
    ['10.0.0.1:7233', null],
    ['team.acct.tmprl.cloud:7233', 'https://cloud.temporal.io'],
    ['eu-west-1.aws.api.temporal.io:7233', 'https://cloud.temporal.io'],
  ])('knows the UI of %s', async (address, base) => {
    expect((await target({ TEMPORAL_ADDRESS: address })).uiBase).toBe(base);
  });

  it('takes the UI that config.yaml names', async () => {
    writeFileSync(path.join(home, 'config.yaml'), 'temporal: { ui: "https://ui.example/" }');
    const found = await target({ TEMPORAL_ADDRESS: '127.0.0.1:7233', TEMPORAL_NAMESPACE: 'a b' });
    expect(found.uiUrl('demo')).toBe('https://ui.example/namespaces/a%20b/workflows/demo');
  });
});

describe('what cannot be used is a USAGE error', () => {
  it.each(['https://temporal.example', 'a b', 'x:0', 'x:70000', '::1', ':7233'])('address %j', async (address) => {
    await expect(target({ TEMPORAL_ADDRESS: address })).rejects.toMatchObject({
      code: 'USAGE',
      hint: expect.stringContaining('host:port'),
    });
    expect(() => hostAndPort(address)).toThrow();
  });

  it('a profile that is not there', async () => {
    await expect(target({ TEMPORAL_PROFILE: 'prod' })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('prod'),
    });
  });

  it('a certificate file that is not there', async () => {
    const env = { TEMPORAL_ADDRESS: 'x', TEMPORAL_TLS_SERVER_CA_CERT_PATH: path.join(home, 'none.pem') };
    await expect(target(env)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('none.pem') });
  });

  it('a profile file that is not TOML, without quoting it', async () => {
    const file = profileFile(`[profile.default]\napi_key = "${KEY}" "\n`);
    const error = await target({ TEMPORAL_CONFIG_FILE: file }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'USAGE', message: expect.stringContaining('TOML') });
    expect(inspect(error, { depth: 9 })).not.toContain(KEY);
  });
});
