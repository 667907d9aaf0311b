/**
 * Tries a way out: `init.js --reach`, run by the host in a bundle's container, or in one of its image. It connects as the
 * daemons do and shakes hands over TLS; nothing is asked of the other end.
 */
import { isIP } from 'node:net';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import { authority } from '../core/network-proxy.ts';
import type { Reached, ReachQuestion } from '../core/reach.ts';
import { dial, type Resolve, resolveBySystem } from './dial.ts';
import { describeFailure } from './egress-upstream.ts';

export async function runReach(): Promise<void> {
  const question = JSON.parse(await text(process.stdin)) as ReachQuestion;
  process.stdout.write(`${JSON.stringify(await reach(question))}\n`, () => process.exit(0));
}

export async function reach(question: ReachQuestion, resolveName: Resolve = resolveBySystem): Promise<Reached> {
  const { host, port, timeoutMs } = question;
  const { promise: late, resolve } = Promise.withResolvers<Reached>();
  const why = `no answer from ${authority(host, port)} within ${timeoutMs / 1000} s`;
  const timer = setTimeout(() => resolve({ reached: false, what: 'connection', why }), timeoutMs);
  try {
    return await Promise.race([late, attempt(question, resolveName)]);
  } finally {
    clearTimeout(timer);
  }
}

async function attempt(
  { host, port, ca, proxy, private: mayBePrivate = true }: ReachQuestion,
  resolve: Resolve,
): Promise<Reached> {
  try {
    const socket = await dial(host, port, { mayBePrivate, resolve, proxy });
    const secured = tls.connect({
      socket,
      servername: isIP(host) === 0 ? host : '',
      ...(ca === null ? {} : { ca: [...tls.getCACertificates(), ca] }),
    });
    await new Promise<void>((resolve, reject) => {
      secured.once('secureConnect', resolve).once('error', reject);
    });
    secured.destroy();
    return { reached: true };
  } catch (error) {
    const why = describeFailure(error as NodeJS.ErrnoException, authority(host, port)).text.replace(/^\w+: /, '');
    return { reached: false, what: /certificate/.test(why) ? 'certificate' : 'connection', why };
  }
}
