import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BottleCa, ensureBottleCa, readBottleCa } from '../../../src/host/bottle-ca.ts';
import { removeBottleState } from '../../../src/host/bottle-state.ts';
import { settings as readSettings, type Settings } from '../../../src/host/settings.ts';

let folder: string;
let settings: Settings;
beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bottle-ca-'));
  settings = readSettings({ BOTTLE_STATE: path.join(folder, 'state'), BOTTLE_HOST: 'h' });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const directory = (id = 'demo'): string => path.join(settings.state, 'bottles', id);
const made = () => ensureBottleCa(settings, 'demo');
const openssl = (args: string[], input = '') => execa('openssl', args, { input, reject: false });

describe('the CA of a bottle', () => {
  test('is one that may sign servers and no further CA, named after its bottle, for a year and a month', async () => {
    const { cert } = await made();
    const certificate = new X509Certificate(cert);
    expect([certificate.ca, certificate.subject, certificate.issuer]).toEqual([
      true,
      'CN=bottleworks demo',
      'CN=bottleworks demo',
    ]);
    const { stdout } = await openssl(['x509', '-noout', '-text'], cert);
    expect(stdout).toMatch(/Basic Constraints: critical\n +CA:TRUE, pathlen:0\n/);
    expect(stdout).toMatch(/Key Usage: critical\n +Certificate Sign, CRL Sign\n/);
    expect(stdout).toMatch(/Subject Key Identifier: *\n +[0-9A-F:]{59}\n/);
    expect(stdout).toContain('ASN1 OID: prime256v1');
    const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    const hours = (ms: number): number => Math.round(ms / 3_600_000);
    expect([hours(Date.now() - from), hours(to - Date.now())]).toEqual([1, 397 * 24]);
  });

  test('has a key of its own, in the form that pipelock reads', async () => {
    const { cert, key } = await made();
    expect(key).toMatch(/^-----BEGIN EC PRIVATE KEY-----\n[\w+/=\n]+-----END EC PRIVATE KEY-----\n$/);
    expect(new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))).toBe(true);
    const other = await ensureBottleCa(settings, 'other');
    expect(other.key).not.toBe(key);
    expect(new X509Certificate(other.cert).serialNumber).not.toBe(new X509Certificate(cert).serialNumber);
  });

  test('is trusted for what it signs, and for nothing that one of the same name signs', async () => {
    const ca = await made();
    await removeBottleState(settings, 'demo');
    const again = await made();
    const leaf = await signed(ca);
    const trusting = (cert: string): string => {
      const file = path.join(folder, 'trusted.pem');
      writeFileSync(file, cert);
      return file;
    };
    expect((await openssl(['verify', '-CAfile', trusting(ca.cert)], leaf)).exitCode).toBe(0);
    expect((await openssl(['verify', '-CAfile', trusting(again.cert)], leaf)).exitCode).not.toBe(0);
    expect(() => tls.createSecureContext({ ca: ca.cert, cert: ca.cert, key: ca.key })).not.toThrow();
  });

  test('is kept for the owner alone, with nothing beside it', async () => {
    await made();
    expect(readdirSync(directory())).toEqual(['ca.pem']);
    expect((statSync(path.join(directory(), 'ca.pem')).mode & 0o777).toString(8)).toBe('600');
    expect((statSync(directory()).mode & 0o777).toString(8)).toBe('700');
  });

  test('is the same ever after, until its state is removed', async () => {
    const first = await made();
    expect(await made()).toEqual(first);
    expect(await readBottleCa(settings, 'demo')).toBe(first.cert);
    await removeBottleState(settings, 'demo');
    expect((await made()).cert).not.toBe(first.cert);
  });

  test('is one, however many ask for it at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, made));
    expect(new Set(all.map(({ cert, key }) => cert + key)).size).toBe(1);
    expect(readdirSync(directory())).toEqual(['ca.pem']);
  });

  test('is one, also when several processes make it, and some of them are killed', async () => {
    const module = path.resolve('src/host/bottle-ca.ts');
    const script = `import { ensureBottleCa } from ${JSON.stringify(module)};
      process.stdout.write(JSON.stringify(await ensureBottleCa(${JSON.stringify(settings)}, 'demo')));`;
    const all = Array.from({ length: 6 }, () =>
      execa(process.execPath, ['--input-type=module-typescript', '-e', script], { reject: false }),
    );
    setTimeout(() => all.slice(0, 3).map((child) => child.kill('SIGKILL')), 250);
    const told = (await Promise.all(all)).flatMap(({ stdout, stderr, exitCode }) => {
      if (exitCode !== undefined && exitCode !== 0) throw new Error(stderr);
      return stdout === '' ? [] : [stdout];
    });
    expect(told.length).toBeGreaterThanOrEqual(3);
    expect(new Set([...told, JSON.stringify(await made())]).size).toBe(1);
  }, 60_000);
});

describe('without one', () => {
  test('its certificate cannot be read, which a person can mend', async () => {
    await expect(readBottleCa(settings, 'demo')).rejects.toMatchObject({
      code: 'STATE_MISSING',
      retryable: false,
      message: expect.stringContaining('demo'),
      hint: expect.stringContaining('bottle down demo'),
    });
  });

  test.each(['', 'half', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])(
    'but with something else in its place, nothing takes that for one or writes over it: %j',
    async (text) => {
      mkdirSync(directory(), { recursive: true });
      writeFileSync(path.join(directory(), 'ca.pem'), text);
      await expect(made()).rejects.toMatchObject({ code: 'STATE_MISSING' });
      await expect(readBottleCa(settings, 'demo')).rejects.toMatchObject({ code: 'STATE_MISSING' });
    },
  );

  test.each(['..', '', 'a/b', '/etc'])('no id leads out of the state directory: %j', async (id) => {
    await expect(ensureBottleCa(settings, id)).rejects.toMatchObject({ code: 'INVALID_ID' });
    await expect(readBottleCa(settings, id)).rejects.toMatchObject({ code: 'INVALID_ID' });
  });
});

/** A server's certificate from this CA. */
async function signed({ cert, key }: BottleCa): Promise<string> {
  const at = (name: string): string => path.join(folder, name);
  writeFileSync(at('ca.pem'), cert);
  writeFileSync(at('ca.key'), key);
  const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=a.test'];
  await openssl([...request, '-keyout', at('leaf.key'), '-out', at('leaf.csr')]);
  const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '1'];
  return (await openssl(['x509', '-req', '-in', at('leaf.csr'), ...signer])).stdout;
}
