/** The file of `network.ca`: CAs of the network this computer is in, which every bundle and every machine trusts. */
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Problem } from '../core/manifest/problems.ts';
import { manifestError } from './manifest/manifest-error.ts';
import type { Settings } from './settings.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * Every certificate of the file, PEM with a line end, each once; whatever stands between them is left out.
 * @param file absolute path
 * @throws BottleError `MANIFEST_INVALID` when it cannot be read, or holds none, or one that is broken
 */
export function readNetworkCa(file: string, settings: Pick<Settings, 'home'>): string[] {
  const looked = look(file);
  if ('certificates' in looked) return looked.certificates;
  throw manifestError([problemOf(file, looked.what, settings)], looked.hint);
}

/** What is wrong with the file, if anything. */
export function networkCaProblems(file: string, settings: Pick<Settings, 'home'>): Problem[] {
  const looked = look(file);
  return 'certificates' in looked ? [] : [problemOf(file, looked.what, settings)];
}

/** Changes with the certificates of the file. @throws BottleError as {@link readNetworkCa} */
export function networkCaDigest(file: string, settings: Pick<Settings, 'home'>): string {
  return createHash('sha256').update(readNetworkCa(file, settings).join('')).digest('hex').slice(0, 16);
}

function problemOf(file: string, what: string, { home }: Pick<Settings, 'home'>): Problem {
  const message = `${file} ${what}`;
  return { severity: 'error', file: path.join(home, 'config.yaml'), position: null, key: 'network.ca', message };
}

function look(file: string): { certificates: string[] } | { what: string; hint: string } {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { what: `cannot be read (${code})`, hint: 'put the file there, or name another in config.yaml' };
  }
  const found = text.match(CERTIFICATE) ?? [];
  if (found.length === 0) {
    const hint = `openssl x509 -inform der -in ${file} makes one of a binary one`;
    return { what: 'holds no certificate in PEM form', hint };
  }
  const certificates: string[] = [];
  for (const [index, pem] of found.entries()) {
    try {
      certificates.push(new X509Certificate(pem).toString());
    } catch {
      return { what: `has a broken certificate, number ${index + 1} of ${found.length}`, hint: 'export it anew' };
    }
  }
  return { certificates: [...new Set(certificates)] };
}
