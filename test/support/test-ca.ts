/** A certificate authority of a test's own, made with openssl in a folder of its own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { execaSync } from 'execa';

export interface Certificate {
  /** PEM. */
  cert: string;
  /** PEM. */
  key: string;
}

export interface TestCa {
  /** PEM of the CA's own certificate. */
  cert: string;
  /** The same as a file. */
  file: string;
  /** A server's certificate for these names and addresses. */
  issue(names: readonly string[]): Certificate;
  dispose(): void;
}

export function testCa(): TestCa {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'bottle-ca-'));
  const at = (name: string): string => path.join(directory, name);
  const openssl = (...args: string[]): void => {
    execaSync('openssl', args, { stdio: 'pipe' });
  };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=bottleworks test CA'];
  openssl('req', '-x509', ...curve, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', ...subject);
  let issued = 0;
  return {
    cert: readFileSync(at('ca.pem'), 'utf8'),
    file: at('ca.pem'),
    issue: (names) => {
      const base = at(`server-${issued++}`);
      const alternatives = names.map((name) => `${isIP(name) ? 'IP' : 'DNS'}:${name}`).join(',');
      writeFileSync(`${base}.ext`, `subjectAltName=${alternatives}\n`);
      openssl('req', ...curve, '-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${names[0]}`);
      const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
      openssl(
        'x509',
        '-req',
        '-in',
        `${base}.csr`,
        ...signer,
        '-out',
        `${base}.pem`,
        '-days',
        '2',
        '-extfile',
        `${base}.ext`,
      );
      return { cert: readFileSync(`${base}.pem`, 'utf8'), key: readFileSync(`${base}.key`, 'utf8') };
    },
    dispose: () => rmSync(directory, { recursive: true, force: true }),
  };
}
