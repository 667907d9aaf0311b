/** References to secrets: what a manifest, a plan and a history hold in place of the secret itself. */

/** `env:NAME` (a variable of the host's worker) or `file:/absolute/path` (`file:~/...` below the home directory). */
export type SecretRef = string;

export type ParsedSecretRef = { kind: 'env'; name: string } | { kind: 'file'; path: string };

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What a person may write where a secret is wanted, for messages. */
export const SECRET_REF_FORMS = 'NAME, env:NAME or file:/path';

/**
 * Reads one reference; a bare name is a variable, as in the original's `token_ref`.
 * @returns undefined when it is none
 */
export function parseSecretRef(text: string): ParsedSecretRef | undefined {
  if (VARIABLE.test(text)) return { kind: 'env', name: text };
  const [, kind, rest = ''] = /^(env|file):(.+)$/.exec(text) ?? [];
  if (kind === 'env' && VARIABLE.test(rest)) return { kind, name: rest };
  if (kind === 'file' && (rest.startsWith('/') || rest.startsWith('~/'))) return { kind, path: rest };
  return undefined;
}

/** The one spelling of a reference; what is no reference stays as it is. */
export function canonicalSecretRef(text: string): SecretRef {
  const parsed = parseSecretRef(text);
  if (parsed === undefined) return text;
  return parsed.kind === 'env' ? `env:${parsed.name}` : `file:${parsed.path}`;
}
