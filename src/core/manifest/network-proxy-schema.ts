/** `network.proxy` of config.yaml: an address, or one with a login and with what is reached without it. */
import { z } from 'zod';
import { canonicalNoProxy, type ProxyPlan, proxyPlan } from '../network-proxy.ts';
import { plainText, secretRef } from './fields.ts';

const FORM = 'http://HOST:PORT';

/** Nothing of it is ever repeated: where a password stands in it, that is a secret. */
const url = z.string(`expected ${FORM}`).superRefine((text, context) => {
  const message = problemOf(text);
  if (message !== undefined) context.addIssue({ code: 'custom', message });
});

function problemOf(text: string): string | undefined {
  if (text.includes('@'))
    return `expected an address without a login: {url: "${FORM}", username: NAME, password: env:VARIABLE}, which names a secret`;
  if (/^socks/i.test(text)) return `expected ${FORM}: SOCKS is not spoken`;
  if (/^https:/i.test(text)) return `expected ${FORM}: a proxy that is spoken to over TLS is not supported`;
  const parsed = URL.parse(text);
  const whole = parsed?.protocol === 'http:' && parsed.pathname === '/' && parsed.search === '' && parsed.hash === '';
  return whole && /^http:\/\/[^/\\?#]+\/?$/i.test(text) ? undefined : `expected ${FORM}`;
}

const noProxy = z
  .string('expected a host')
  .refine((text) => canonicalNoProxy(text) !== undefined, {
    error: 'expected a name (which stands for all below it too), an address, or a network such as 10.0.0.0/8',
  })
  .transform((text) => canonicalNoProxy(text) as string);

export const networkProxy = z
  .union(
    [
      url,
      z
        .strictObject({
          url: url.describe(`\`${FORM}\``),
          username: plainText.optional().describe('who logs in at the proxy'),
          password: secretRef.optional().describe('with `username`: a secret'),
          no_proxy: z
            .array(noProxy, 'expected a list of hosts')
            .optional()
            .describe('what is reached without it: `corp.example` (and all below it), `10.0.0.0/8`, an address'),
        })
        .refine(({ username, password }) => password === undefined || username !== undefined, {
          error: 'expected username beside password',
          path: ['password'],
        }),
    ],
    `expected ${FORM}, or {url, username, password, no_proxy}`,
  )
  .transform((written): ProxyPlan => {
    if (typeof written === 'string') return proxyPlan(written);
    const { url: address, username = null, password = null, no_proxy: direct = [] } = written;
    return proxyPlan(address, { username, password, noProxy: direct });
  });
