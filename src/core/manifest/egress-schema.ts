/** `egress.routes` of a bottle file: the original's newest keys (Gateway API's HTTPRoute words), and those of its pipelock era. */
import { z } from 'zod';
import { patternProblem } from '../route-pattern.ts';
import { credentialHeader, headerName, hostFile, plainText, routeHost, secretRef, truth } from './fields.ts';

const routeAuth = z
  .strictObject({
    scheme: z
      .enum(['Bearer', 'token', 'basic', 'header'], 'expected Bearer, token, basic or header')
      .describe('how it is sent: `Authorization: Bearer` or `token`, Basic (with `user`), or a header of its own'),
    token_ref: secretRef.describe('the credential: a secret'),
    user: plainText.optional().describe('with `basic`'),
    header: credentialHeader.optional().describe('with `header`: its name'),
  })
  .superRefine(({ scheme, user, header }, context) => {
    const complain = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (scheme === 'basic' && user === undefined) complain('user', 'expected a user name, for scheme basic');
    if (scheme === 'header' && header === undefined)
      complain('header', 'expected the name of a header, for scheme header');
  });

const text = z.string('expected text').max(500, 'expected at most 500 characters');

const pathMatch = z
  .strictObject({ type: z.enum(['prefix', 'exact', 'regex'], 'expected prefix, exact or regex'), value: text })
  .superRefine(({ type, value }, context) => {
    const complain = (message: string) => context.addIssue({ code: 'custom', path: ['value'], message });
    if (type !== 'regex' && !value.startsWith('/')) complain('expected a path that begins with /');
    const problem = type === 'regex' ? patternProblem(value) : undefined;
    if (problem !== undefined) complain(problem);
  });

const headerMatch = z
  .strictObject({
    type: z.enum(['exact', 'regex'], 'expected exact or regex').optional(),
    name: headerName,
    value: text,
  })
  .superRefine(({ type, value }, context) => {
    const problem = type === 'regex' ? patternProblem(value) : undefined;
    if (problem !== undefined) context.addIssue({ code: 'custom', path: ['value'], message: problem });
  });

const routeMatch = z.strictObject({
  methods: z
    .array(
      z.string('expected an HTTP method').regex(/^[A-Za-z]+$/, 'expected an HTTP method'),
      'expected a list of HTTP methods',
    )
    .optional()
    .describe('in any case; none: every method'),
  paths: z
    .array(pathMatch, 'expected a list of paths')
    .optional()
    .describe('`type` `prefix`, `exact` or `regex` (whole paths, no look-around), and `value`; none: every path'),
  headers: z
    .array(headerMatch, 'expected a list of headers')
    .optional()
    .describe('`name`, `value` and `type` `exact` (default) or `regex`: all of them must fit'),
});

const detectors = z.union(
  [z.literal(false), z.array(z.string('expected the name of a detector'))],
  'expected a list of detectors, or false',
);

const dlp = z
  .strictObject({
    outbound_detectors: detectors,
    inbound_detectors: detectors,
    outbound_on_match: z.enum(['supervise', 'redact', 'block'], 'expected supervise, redact or block'),
  })
  .partial();

const CIDR = /^[0-9a-fA-F:.]+(\/\d{1,3})?$/;

export const egressRoute = z
  .strictObject({
    host: routeHost.describe(
      'one host, with a port unless it is 443; without `auth` and `matches` it may be reached directly too',
    ),
    auth: routeAuth.optional().describe('the credential that egress puts in'),
    matches: z
      .array(routeMatch, 'expected a list of matches')
      .optional()
      .describe('a request must fit one; none: every request'),
    ca: hostFile.optional().describe("PEM file of the upstream's own CA"),
    private: truth.optional().describe('the host may be at a private address'),
    dlp: dlp
      .optional()
      .describe('of the original; read, but what goes out is always scanned, by the same rules for every route'),
    path_allowlist: z
      .array(z.string('expected a path').regex(/^\//, 'expected a path that begins with /'), 'expected a list of paths')
      .optional()
      .describe("of the original's pipelock era: the same as `matches` with these prefixes"),
    pipelock: z
      .strictObject({
        tls_passthrough: truth,
        ssrf_ip_allowlist: z.array(
          z.string('expected a network').regex(CIDR, 'expected a network such as 10.0.0.0/8'),
          'expected a list of networks',
        ),
      })
      .partial()
      .optional()
      .describe("of the original's pipelock era: a `ssrf_ip_allowlist` means `private`"),
  })
  .superRefine(({ matches, path_allowlist }, context) => {
    if (matches !== undefined && path_allowlist !== undefined)
      context.addIssue({
        code: 'custom',
        path: ['path_allowlist'],
        message: 'expected matches or path_allowlist, not both',
      });
  });

export const egress = z.strictObject({
  routes: z.array(egressRoute, 'expected a list of routes').optional(),
  log: z
    .union([z.string(), z.number(), z.boolean()], 'expected one value')
    .optional()
    .describe('of the original; read, but every request is logged (method, host, path, status), never a header'),
});

export type EgressRouteManifest = z.output<typeof egressRoute>;
