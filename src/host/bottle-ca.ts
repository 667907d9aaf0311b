/** The CA of one bottle, with which its scanner signs where it reads HTTPS: kept beside the bottle's plan, 0600. */
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { assertBottleId } from '../core/names.ts';
import { bottleDirectory, bottlePath } from './bottle-state.ts';
import { halfOf } from './half-file.ts';
import type { Settings } from './settings.ts';

/** PEM, each with a line end; the key in SEC 1 form (`EC PRIVATE KEY`), the only one that pipelock reads. */
export interface BottleCa {
  cert: string;
  key: string;
}

/** Both in one file, so that there is never one without the other. */
const FILE = 'ca.pem';
const PAIR =
  /^(-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n)(-----BEGIN EC PRIVATE KEY-----\n[^-]+-----END EC PRIVATE KEY-----\n)$/;

const HOUR_MS = 3_600_000;
/** Of clocks that are behind, in the bundle or the machine. */
const BACKDATE_MS = HOUR_MS;
/**
 * A bottle lives for hours or weeks, and nothing but its own machine trusts its CA: longer than any is kept, and no
 * longer than browsers take from a server. A bottle that outlives it is brought down and up again.
 */
const VALID_MS = 397 * 24 * HOUR_MS;

/**
 * The CA of a bottle, made by whoever asks first and the same for everybody ever after, until `state.remove`.
 * @throws BottleError `STATE_MISSING` when what is kept is no CA
 */
export async function ensureBottleCa(settings: Settings, id: string): Promise<BottleCa> {
  const known = await read(settings, id);
  if (known !== undefined) return known;
  const { cert, key } = await newCa(id);
  const file = path.join(bottleDirectory(settings, id), FILE);
  const temporary = halfOf(file);
  try {
    await writeFile(temporary, cert + key, { mode: 0o600, flush: true });
    // Unlike a rename it leaves what another process has put there meanwhile.
    await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(temporary, { force: true });
  }
  return (await read(settings, id)) ?? gone(id, settings, 'is gone from');
}

/**
 * The certificate of a bottle's CA, PEM.
 * @throws BottleError `STATE_MISSING` when there is none
 */
export async function readBottleCa(settings: Settings, id: string): Promise<string> {
  return ((await read(settings, id)) ?? gone(id, settings, 'is gone from')).cert;
}

async function read(settings: Settings, id: string): Promise<BottleCa | undefined> {
  assertBottleId(id);
  let text: string;
  try {
    text = await readFile(path.join(bottlePath(settings, id), FILE), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const [, cert, key] = PAIR.exec(text) ?? [];
  return cert === undefined || key === undefined ? gone(id, settings, 'cannot be read in') : { cert, key };
}

function gone(id: string, { state }: Settings, what: string): never {
  throw new BottleError('STATE_MISSING', `the CA of ${id} ${what} ${state}`, {
    hint: `bottle down ${id}, then bring it up again`,
  });
}

/** ECDSA on P-256, which every client takes and pipelock signs with; it can sign servers' certificates, no further CA. */
async function newCa(id: string): Promise<BottleCa> {
  // Slow to load (0.2 s), and needed once in the life of a bottle.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const signingAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(signingAlgorithm, true, ['sign', 'verify']);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: `CN=bottleworks ${id}`,
      notBefore: new Date(now - BACKDATE_MS),
      notAfter: new Date(now + VALID_MS),
      keys,
      signingAlgorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        // Tells it from another of the same name: a bottle that was brought up anew has one.
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const key = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  const cert = `${certificate.toString('pem').trim()}\n`;
  return { cert, key: key.export({ type: 'sec1', format: 'pem' }).toString() };
}

/** 16 random bytes in hex, positive and without a zero in front, as DER has it. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
