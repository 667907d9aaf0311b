/** What a person writes, as schemas: an agent file and the bottle file it names. The keys are the original bot-bottle's. */
import { z } from 'zod';
import { parseAllowEntry } from './allow-list.ts';
import { MODEL_ROUTE, routeIdOf } from './route-id.ts';
import { canonicalSecretRef, parseSecretRef, SECRET_REF_FORMS } from './secret-ref.ts';

/** Stem of an agent or bottle file. */
export const MANIFEST_NAME = /^[a-z][a-z0-9-]*$/;
const SKILL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

const name = z
  .string('expected a name')
  .regex(MANIFEST_NAME, 'expected lower-case letters, digits and dashes, a letter first');
const host = z.string('expected a host name').refine(isHost, {
  error: 'expected a host such as api.example.com, *.example.com or example.com:8443',
});
const driver = z.enum(['docker', 'smolvm'], 'expected docker or smolvm');

const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected a variable name');
const envValue = z
  .union([z.string(), z.number(), z.boolean()], 'expected text')
  .transform(String)
  .refine((value) => !value.startsWith('?') && !/^\$\{[^}]*\}$/.test(value), {
    error: 'expected a literal value: prompts ("?...") and host variables ("${...}") are not read by this version',
  });

const resources = z
  .strictObject({
    cpus: z.number('expected a number of CPUs').positive('expected more than 0').max(256, 'expected at most 256'),
    memoryMiB: z.int('expected a whole number of MiB').min(128, 'expected at least 128'),
    pids: z.int('expected a whole number').min(32, 'expected at least 32'),
  })
  .partial();

const secretRef = z
  .string(`expected a reference to a secret: ${SECRET_REF_FORMS}`)
  .refine((text) => parseSecretRef(text) !== undefined, {
    error: `expected a reference to a secret, not the secret itself: ${SECRET_REF_FORMS}`,
  })
  .transform(canonicalSecretRef);
const hostFile = z
  .string('expected a file')
  .regex(/^(\/|~\/)./, 'expected an absolute path on the host, or one below ~/');
/** Those are about the connection and the message's length; a credential there would be a way to smuggle requests. */
const NO_CREDENTIAL_HEADERS = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|cookie)$/i;
const headerName = z
  .string('expected a header name')
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected a header name')
  .refine((name) => !NO_CREDENTIAL_HEADERS.test(name), { error: 'expected a header that can hold a credential' });
/** In any script, but nothing that ends a line, is not seen, or reorders what is. */
const plainText = z.string('expected text').regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'expected printable text');
const httpsUrl = z
  .url({ protocol: /^https$/, error: 'expected an https URL' })
  .refine((text) => !/[?#@]/.test(text), { error: 'expected an https URL without user, query or fragment' })
  .refine((text) => /^https:\/\/[^/\\]/i.test(text), { error: 'expected an https URL' })
  .transform((text) => {
    const { origin, pathname } = new URL(text);
    return origin + pathname.replace(/\/+$/, '');
  });

/** One host with an optional port: what a route of egress leads to. */
const routeHost = host.refine((text) => !text.includes('*') && !/\s/.test(text.trim()), {
  error: 'expected one host such as api.example.com or example.com:8443',
});

const routeAuth = z.strictObject({
  /** How the credential is sent: `Authorization: Bearer|token ...`, Basic, or a header of its own. */
  scheme: z.enum(['Bearer', 'token', 'basic', 'header'], 'expected Bearer, token, basic or header'),
  token_ref: secretRef,
  /** With `basic`. */
  user: plainText.optional(),
  /** With `header`: its name. */
  header: headerName.optional(),
});

const pathMatch = z
  .strictObject({
    type: z.enum(['prefix', 'exact', 'regex'], 'expected prefix, exact or regex'),
    value: z.string('expected text').max(500, 'expected at most 500 characters'),
  })
  .superRefine(({ type, value }, context) => {
    const complain = (message: string) => context.addIssue({ code: 'custom', path: ['value'], message });
    if (type !== 'regex' && !value.startsWith('/')) complain('expected a path that begins with /');
    if (type === 'regex' && !isRegex(value)) complain('expected a regular expression');
  });

const routeMatch = z.strictObject({
  methods: z
    .array(z.string().regex(/^[A-Za-z]+$/, 'expected an HTTP method'), 'expected a list of HTTP methods')
    .default([])
    .transform((methods) => methods.map((method) => method.toUpperCase())),
  paths: z.array(pathMatch, 'expected a list of paths').default([]),
});

const egressRoute = z
  .strictObject({
    host: routeHost,
    auth: routeAuth.optional(),
    /** A request must fit one of them; none: any request. */
    matches: z.array(routeMatch, 'expected a list of matches').default([]),
    /** PEM file with the upstream's own CA. */
    ca: hostFile.optional(),
    /** The host may resolve to a private address. */
    private: z.boolean('expected true or false').default(false),
  })
  .superRefine(({ auth }, context) => {
    const complain = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: ['auth', key], message });
    if (auth?.scheme === 'basic' && auth.user === undefined) complain('user', 'expected a user name, for scheme basic');
    if (auth?.scheme === 'header' && auth.header === undefined)
      complain('header', 'expected the name of a header, for scheme header');
  });

const agentProvider = z
  .strictObject({
    template: z.enum(['claude'], 'expected claude').default('claude'),
    /** OAuth token (`claude setup-token`), or anything that its API takes as a bearer token. */
    auth_token: secretRef.optional(),
    api_key: secretRef.optional(),
    base_url: httpsUrl.optional(),
    ca: hostFile.optional(),
    private: z.boolean('expected true or false').default(false),
  })
  .refine(({ auth_token, api_key }) => auth_token === undefined || api_key === undefined, {
    error: 'expected auth_token or api_key, not both',
  });

const gitUser = z.strictObject({ name: plainText, email: plainText }).partial();

const gitKey = z.discriminatedUnion(
  'provider',
  [
    z.strictObject({ provider: z.literal('static'), path: hostFile }),
    /** A token for https: ours. */
    z.strictObject({ provider: z.literal('token'), token_ref: secretRef, user: plainText.default('x-access-token') }),
  ],
  'expected provider static (path: an SSH key) or token (token_ref)',
);

const gitRepo = z
  .strictObject({
    url: z
      .string('expected a URL')
      .refine(isRepository, { error: 'expected https://host/path or ssh://user@host/path' }),
    key: gitKey.optional(),
    /** As in a known_hosts line, without the host. */
    host_key: z
      .string('expected a host key')
      .regex(/^(ssh|ecdsa|sk)-\S+ \S+$/, 'expected a host key such as "ssh-ed25519 AAAA..."')
      .optional(),
    /** Branches that may be pushed, as globs; none: every branch. */
    branches: z.array(plainText, 'expected a list of branch names').default([]),
    allow_force: z.boolean('expected true or false').default(false),
    allow_delete: z.boolean('expected true or false').default(false),
    ca: hostFile.optional(),
  })
  .superRefine(({ url, key, host_key }, context) => {
    const complain = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    const ssh = url.startsWith('ssh://');
    if (ssh && key?.provider !== 'static') complain('key', 'expected an SSH key (provider static), for an ssh:// URL');
    if (ssh && host_key === undefined) complain('host_key', 'expected the pinned host key, for an ssh:// URL');
    if (!ssh && key?.provider === 'static') complain('key', 'expected provider token, for an https:// URL');
    if (!ssh && /^https:\/\/[^/]*@/.test(url)) complain('url', 'expected no user in an https:// URL');
    if (ssh && /^ssh:\/\/[^/@]*:[^/]*@/.test(url)) complain('url', 'expected no password in an ssh:// URL');
  });

const REPO_NAME = /^[a-z0-9][a-z0-9._-]*$/;

/** The front matter of an agent file. Claude Code's own keys are accepted and left to it, so one file can serve both. */
export const agentSchema = z.strictObject({
  bottle: name.optional(),
  skills: z
    .array(
      z.string('expected a skill name').regex(SKILL_NAME, 'expected the name of a skill folder'),
      'expected a list of skill names',
    )
    .default([]),
  env: z.record(envName, envValue, 'expected NAME: value pairs').default({}),
  driver: driver.optional(),
  resources: resources.default({}),
  /** Who commits; the repositories are the bottle's. */
  'git-gate': z.strictObject({ user: gitUser.default({}) }).default({ user: {} }),
  name: z.unknown().optional(),
  description: z.unknown().optional(),
  model: z.unknown().optional(),
  color: z.unknown().optional(),
  memory: z.unknown().optional(),
});

/** The front matter of a bottle file. */
export const bottleSchema = z.strictObject({
  env: z.record(envName, envValue, 'expected NAME: value pairs').default({}),
  driver: driver.optional(),
  resources: resources.default({}),
  /** Hosts the agent may reach without credentials. */
  allow: z.array(host, 'expected a list of host names').default([]),
  agent_provider: agentProvider.optional(),
  /** Hosts the agent reaches through egress, with a credential it never sees. */
  egress: z
    .strictObject({ routes: z.array(egressRoute, 'expected a list of routes').default([]) })
    .default({ routes: [] })
    .superRefine(({ routes }, context) => {
      const ids = routes.map(({ host: name }) => (isHost(name) ? routeIdOf(name) : name));
      ids.forEach((id, at) => {
        const complain = (message: string) =>
          context.addIssue({ code: 'custom', path: ['routes', at, 'host'], message });
        if (ids.indexOf(id) !== at) complain(`expected one route a host: ${id} has two`);
        if (id === MODEL_ROUTE)
          complain(`expected another host: ${id} is the name of the model's route (agent_provider)`);
      });
    }),
  /** Repositories the agent clones from and pushes to, with a key it never sees. */
  'git-gate': z
    .strictObject({
      user: gitUser.default({}),
      repos: z
        .record(
          z.string().regex(REPO_NAME, 'expected a name of lower-case letters, digits, dots and dashes'),
          gitRepo,
          'expected NAME: {url: ...} pairs',
        )
        .default({}),
    })
    .default({ user: {}, repos: {} }),
  /** Whether the agent may ask the operator. */
  supervise: z.boolean('expected true or false').default(false),
});

export type AgentManifest = z.output<typeof agentSchema>;
export type BottleManifest = z.output<typeof bottleSchema>;

function isHost(text: string): boolean {
  try {
    parseAllowEntry(text);
    return true;
  } catch {
    return false;
  }
}

/** Whether it is the address of one repository: a host and a path, neither of which git or a shell takes for an option. */
function isRepository(text: string): boolean {
  if (!/^(https|ssh):\/\/[^\s/?#\\]+\/[^\s?#\\]+$/.test(text)) return false;
  // As https, so that hosts and ports are looked at in either case.
  const url = URL.parse(text.replace(/^ssh:/, 'https:'));
  return url !== null && !url.hostname.startsWith('-') && /[^/]/.test(url.pathname.replace(/(\.git)?\/*$/, ''));
}

function isRegex(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

/** One thing wrong with a file. */
export interface ManifestProblem {
  /** Dotted path of the key; empty for the whole front matter. */
  key: string;
  expected: string;
}

/** Every problem zod found, in the words a person reads. */
export function manifestProblems(error: z.ZodError, known: readonly string[]): ManifestProblem[] {
  return error.issues.flatMap((issue) => {
    const key = issue.path.join('.');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((unknown) => ({
        key: [...issue.path, unknown].join('.'),
        expected: issue.path.length === 0 ? `unknown key (known: ${known.join(', ')})` : 'unknown key',
      }));
    }
    // The key itself is at fault: what it should have been is in the issue within.
    if (issue.code === 'invalid_key') return [{ key, expected: issue.issues[0]?.message ?? issue.message }];
    const plain =
      issue.code === 'invalid_type' && issue.expected === 'object' ? 'expected key: value pairs' : issue.message;
    return [{ key, expected: plain }];
  });
}
