/** `git-gate` of a bottle file: repositories that the agent clones from and pushes to, with keys it never sees. */
import { z } from 'zod';
import { gitUser, hostFile, plainText, secretRef, truth } from './fields.ts';

const gitKey = z.discriminatedUnion(
  'provider',
  [
    z.strictObject({ provider: z.literal('static'), path: hostFile }),
    z.strictObject({ provider: z.literal('token'), token_ref: secretRef, user: plainText.optional() }),
  ],
  'expected provider static (path: an SSH key) or token (token_ref: a secret)',
);

const gitRepo = z
  .strictObject({
    url: z
      .string('expected a URL')
      .max(2000, { error: 'expected at most 2000 characters', abort: true })
      .refine(isRepository, { error: 'expected https://host/path or ssh://user@host/path' })
      .describe('`https://` or `ssh://`'),
    key: gitKey
      .optional()
      .describe(
        '`{provider: token, token_ref, user}` or `{provider: static, path}` (an SSH key); none: a public repository',
      ),
    host_key: z
      .string('expected a host key')
      .regex(/^(ssh|ecdsa|sk)-\S+ \S+$/, 'expected a host key such as "ssh-ed25519 AAAA..."')
      .optional()
      .describe('with `ssh://`: as in known_hosts, without the host'),
    branches: z
      .array(plainText, 'expected a list of branch names')
      .optional()
      .describe('globs that may be pushed; none: every branch'),
    allow_force: truth.optional().describe('pushes that drop commits'),
    allow_delete: truth.optional().describe('pushes that delete a branch or tag'),
    ca: hostFile.optional().describe("PEM file of the upstream's own CA"),
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

export const gitGate = z
  .strictObject({
    user: gitUser.describe("`name`, `email` of who commits; the agent's win"),
    repos: z.record(
      z.string().regex(REPO_NAME, 'expected a name of lower-case letters, digits, dots and dashes'),
      gitRepo,
      'expected NAME: {url: ...} pairs',
    ),
  })
  .partial();

export type GitRepoManifest = z.output<typeof gitRepo>;

/** Whether it is the address of one repository: a host and a path, neither of which git or a shell takes for an option. */
function isRepository(text: string): boolean {
  if (!/^(https|ssh):\/\/[^\s/?#\\]+\/[^\s?#\\]+$/.test(text)) return false;
  // As https, so that hosts and ports are looked at in either case.
  const url = URL.parse(text.replace(/^ssh:/, 'https:'));
  return url !== null && !url.hostname.startsWith('-') && /[^/]/.test(url.pathname.replace(/(\.git)?\/*$/, ''));
}
