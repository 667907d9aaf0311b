/**
 * Why an address does not answer. gRPC keeps trying until its deadline and then says only that it passed;
 * a plain TCP or TLS handshake says at once that the port is closed or the certificate is not trusted.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { TLSConfig } from '@temporalio/common/lib/internal-non-workflow/index.js';

export interface Endpoint {
  host: string;
  port: number;
  /** Absent or false: plain TCP. */
  tls?: TLSConfig | boolean;
}

/**
 * Resolves when the endpoint accepts a connection (with TLS: when the handshake is done and the certificate is good).
 * @throws Error of node:net or node:tls, with its `code`
 */
export function probeEndpoint({ host, port, tls: config }: Endpoint, timeoutMs: number): Promise<void> {
  const socket = config ? tls.connect({ host, port, ...tlsOptions(host, config) }) : net.connect({ host, port });
  return new Promise<void>((resolve, reject) => {
    socket.once(config ? 'secureConnect' : 'connect', resolve);
    socket.once('error', reject);
    socket.setTimeout(timeoutMs, () => reject(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })));
  }).finally(() => {
    socket.destroy();
  });
}

function tlsOptions(host: string, config: TLSConfig | true): tls.ConnectionOptions {
  const { serverNameOverride, serverRootCACertificate, clientCertPair }: TLSConfig = config === true ? {} : config;
  const name = serverNameOverride ?? host;
  return {
    ALPNProtocols: ['h2'],
    // SNI has no place for an address.
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
    ...(serverRootCACertificate ? { ca: Buffer.from(serverRootCACertificate) } : {}),
    ...(clientCertPair ? { cert: Buffer.from(clientCertPair.crt), key: Buffer.from(clientCertPair.key) } : {}),
  };
}
