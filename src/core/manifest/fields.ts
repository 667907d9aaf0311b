/** The single values of a manifest, as schemas: each says in its message what was expected, and never repeats a secret. */
import { z } from 'zod';
import { parseAllowEntry } from '../allow-list.ts';
import { parseDuration } from '../duration.ts';
import { SECRET_REF_FORMS, secretRefFrom } from '../secret-ref.ts';
import { SMOLMACHINE } from '../smolmachine.ts';

/** Stem of an agent or bottle file. */
export const MANIFEST_NAME = /^[a-z][a-z0-9-]*$/;
const SKILL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

export const manifestName = z
  .string('expected a name')
  .regex(MANIFEST_NAME, 'expected lower-case letters, digits and dashes, a letter first')
  .max(100, 'expected at most 100 characters');

export const skillName = z
  .string('expected a skill name')
  .regex(SKILL_NAME, 'expected the name of a skill folder')
  .max(200, 'expected at most 200 characters');

/** An entry of allow-list.ts. */
export const allowEntry = z.string('expected a host name').superRefine((text, context) => {
  if (isAllowEntry(text)) return;
  const message = /^[a-z]+:\/\//i.test(text)
    ? 'expected a host only, without a scheme such as https:// and without a path'
    : /^egress(:\d+)?( |$)/i.test(text)
      ? "expected another host: egress is the bundle's own"
      : 'expected a host such as api.example.com, *.example.com or example.com:8443';
  context.addIssue({ code: 'custom', message });
});

/** One host with an optional port: what a route of egress leads to. */
export const routeHost = z
  .string('expected a host name')
  .refine((text) => isAllowEntry(text) && !text.includes('*') && !/\s/.test(text.trim()), {
    error: 'expected one host such as api.example.com or example.com:8443',
  });

export const driver = z.enum(['docker', 'smolvm'], 'expected docker or smolvm');

export const truth = z.boolean('expected true or false');

export const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected a variable name');

export const envValue = z
  .union([z.string(), z.number(), z.boolean()], 'expected text')
  .transform(String)
  .refine((value) => !/\0/.test(value), { error: 'expected text without NUL characters' })
  .refine((value) => !value.startsWith('${') || /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(value), {
    error: 'expected ${NAME} with the name of a variable of the host, or other text',
  });

export const env = z.record(envName, envValue, 'expected NAME: value pairs');

/** Limits of the machine. */
export const resources = z
  .strictObject({
    cpus: z.number('expected a number of CPUs').positive('expected more than 0').max(256, 'expected at most 256'),
    memoryMiB: z.int('expected a whole number of MiB').min(128, 'expected at least 128'),
    pids: z.int('expected a whole number').min(32, 'expected at least 32'),
  })
  .partial();

export const duration = z
  .string('expected a time such as 30m, 2h or 1d')
  .refine((text) => parseDuration(text) !== undefined, { error: 'expected a time such as 30m, 2h or 1d' });

export const secretRef = z
  .union([z.string(), z.looseObject({})], `expected a reference to a secret: ${SECRET_REF_FORMS}`)
  .transform((value, context) => {
    const reference = secretRefFrom(value);
    if (reference !== undefined) return reference;
    const message = `expected a reference to a secret, not the secret itself: ${SECRET_REF_FORMS}`;
    context.issues.push({ code: 'custom', message, input: undefined });
    return z.NEVER;
  });

export const hostFile = z
  .string('expected a file')
  .regex(/^(\/|~\/)[^\0]/, 'expected an absolute path on the host, or one below ~/');

/** In any script, but nothing that ends a line, is not seen, or reorders what is. */
export const plainText = z
  .string('expected text')
  .regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'expected printable text')
  .max(500, 'expected at most 500 characters');

export const httpsUrl = z
  .url({ protocol: /^https$/, error: 'expected an https URL' })
  .max(2000, { error: 'expected at most 2000 characters', abort: true })
  .refine((text) => !/[?#@]/.test(text), { error: 'expected an https URL without user, query or fragment' })
  .refine((text) => /^https:\/\/[^/\\]/i.test(text), { error: 'expected an https URL' })
  .transform((text) => {
    const { origin, pathname } = new URL(text);
    return origin + pathname.replace(/\/+$/, '');
  });

/** Those are about the connection and the message's length; a credential there would be a way to smuggle requests. */
const NO_CREDENTIAL_HEADERS = /^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|cookie)$/i;
export const headerName = z
  .string('expected a header name')
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected a header name');
export const credentialHeader = headerName.refine((name) => !NO_CREDENTIAL_HEADERS.test(name), {
  error: 'expected a header that can hold a credential',
});

const IMAGE_FORMS = 'expected minimal, full, the tag of an image, {dockerfile: PATH} or {smolmachine: PATH}';

/** The images that bottle makes: `full` has what an agent reaches for in its first minutes. */
export const STOCK_IMAGES = ['minimal', 'full'] as const;
export type StockImage = (typeof STOCK_IMAGES)[number];
export const DEFAULT_IMAGE: StockImage = 'full';

/** @returns undefined for the tag of another image; one of the person's own that has such a name is `full:latest` */
export const stockImage = (image: string): StockImage | undefined => STOCK_IMAGES.find((name) => name === image);

/** One of ours, a Docker image that is on the host, a Dockerfile that makes one, or (with driver smolvm) a packed machine. */
export const image = z.union(
  [
    z.string().regex(/^[a-z0-9][a-zA-Z0-9._/:@-]*$/, IMAGE_FORMS),
    z.strictObject({ dockerfile: z.string('expected a path').regex(/^[^\0]+$/, 'expected a path') }),
    z.strictObject({
      smolmachine: z
        .string('expected a path')
        .regex(/^[^\0]*\.smolmachine$/, `expected the path of a file that ends in ${SMOLMACHINE}`),
    }),
  ],
  IMAGE_FORMS,
);

/** Who commits. */
export const gitUser = z.strictObject({ name: plainText, email: plainText }).partial();

/** @throws nothing: whether allow-list.ts can read it */
export function isAllowEntry(text: string): boolean {
  try {
    parseAllowEntry(text);
    return true;
  } catch {
    return false;
  }
}
