/** Reads the secrets that references name, in the step that needs them and nowhere else. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { BottleError } from '../core/errors.ts';
import { type ParsedSecretRef, parseSecretRef, SECRET_REF_FORMS, type SecretRef } from '../core/secret-ref.ts';
import { KEYCHAIN_TIMEOUT_MS, type KeychainItem, keychainReader } from './keychain.ts';
import { rememberSecret } from './scrub.ts';
import { atHome, LARGEST_BYTES, runSecretCommand } from './secret-command.ts';

/** Of a file that holds a secret among other things. */
const LARGEST_FILE_BYTES = 1024 * 1024;

export interface SecretSources {
  /** What `env:` names, and what commands run with. Default: the worker's. */
  env?: NodeJS.ProcessEnv;
  /** Whose keychain it is. Default: this computer's. */
  platform?: NodeJS.Platform;
  /** Ends every command at once; what is thrown then is its reason. */
  signal?: AbortSignal;
}

/**
 * The value of every reference, all read at the same time and each once. One line end at the end is not part of the
 * secret, as editors and programs add it. From now on the values are taken out of what this process writes (scrub.ts).
 * @throws BottleError `SECRET_MISSING` naming every reference that cannot be read, never a value
 */
export async function resolveSecrets(
  references: readonly SecretRef[],
  { env = process.env, platform = process.platform, signal }: SecretSources = {},
): Promise<Map<SecretRef, string>> {
  signal?.throwIfAborted();
  const once = [...new Set(references)];
  const outcomes = await Promise.all(
    once.map(async (reference) => ({
      reference,
      ...(await read(parseSecretRef(reference), { env, platform, signal })),
    })),
  );
  signal?.throwIfAborted();
  const missing = outcomes.filter((outcome) => 'why' in outcome);
  if (missing.length === 0)
    return new Map(outcomes.flatMap((outcome) => ('value' in outcome ? [[outcome.reference, outcome.value]] : [])));
  const what = missing.map(({ reference, why }) => `${reference} (${why})`).join(', ');
  const hint = [...new Set(missing.map((outcome) => outcome.hint))].join('; ');
  throw new BottleError('SECRET_MISSING', `no secret at ${what}`, { hint });
}

/** Certificates and other files without secrets, by path. @throws BottleError `SECRET_MISSING` */
export async function readHostFiles(files: readonly string[]): Promise<Map<string, string>> {
  const read = async (file: string): Promise<[string, string]> => {
    try {
      return [file, await readFile(file, 'utf8')];
    } catch (error) {
      throw new BottleError('SECRET_MISSING', `${file} cannot be read (${codeOf(error)})`, {
        hint: 'put the file there, or name another in the manifest',
      });
    }
  };
  return new Map(await Promise.all(files.map(read)));
}

type Outcome = { value: string } | { why: string; hint: string };
type Sources = Required<Pick<SecretSources, 'env' | 'platform'>> & { signal: AbortSignal | undefined };

async function read(reference: ParsedSecretRef | undefined, sources: Sources): Promise<Outcome> {
  switch (reference?.kind) {
    case 'env':
      return usable(sources.env[reference.name], {
        why: 'the variable is not set',
        hint: `${WORKER_ENV_HINT}; or refer to a file`,
      });
    case 'file':
      return fromFile(reference, sources);
    case 'command':
      return fromCommand(reference, sources);
    case 'keychain':
      return fromKeychain(reference, sources);
    default:
      return { why: `expected ${SECRET_REF_FORMS}`, hint: 'write it in one of these forms in the manifest' };
  }
}

/** The worker reads the variables it was started with. */
export const WORKER_ENV_HINT =
  'export it, then retry from the same shell (bottle serve --restart gives a worker its environment)';
const FILE_HINT = 'put the secret there, readable by you alone, then retry';
const COMMAND_HINT = 'run it yourself: it must print the secret and nothing else, and ask nothing; then retry';
const PATH_HINT =
  'install it, or name it by its absolute path; the worker has the PATH it was started with, and bottle serve --restart gives it that of your shell';

async function fromFile({ path, key }: { path: string; key?: string }, { signal }: Sources): Promise<Outcome> {
  const missing = (why: string): Outcome => ({ why, hint: FILE_HINT });
  try {
    const file = createReadStream(atHome(path), {
      encoding: 'utf8',
      end: LARGEST_FILE_BYTES,
      ...(signal && { signal }),
    });
    const content = await text(file);
    if (key === undefined) return usable(content.replace(/\r?\n$/, ''), { why: 'the file is empty', hint: FILE_HINT });
    if (Buffer.byteLength(content) > LARGEST_FILE_BYTES) return missing('larger than 1 MiB');
    const value = at(JSON.parse(content), key);
    if (typeof value === 'string') return usable(value, { why: `${key} is empty`, hint: FILE_HINT });
    return missing(value === undefined ? `there is no ${key} in it` : `${key} is no text in it`);
  } catch (error) {
    // Its message would quote the file.
    return missing(error instanceof SyntaxError ? 'the file is not JSON' : codeOf(error));
  }
}

/** What a dotted path leads to in a JSON value. */
function at(json: unknown, key: string): unknown {
  return key
    .split('.')
    .reduce<unknown>(
      (value, name) =>
        typeof value === 'object' && value !== null && Object.hasOwn(value, name)
          ? (value as Record<string, unknown>)[name]
          : undefined,
      json,
    );
}

async function fromCommand(
  { argv, timeoutMs }: { argv: readonly string[]; timeoutMs: number },
  { env, signal }: Sources,
): Promise<Outcome> {
  const outcome = await runSecretCommand({ argv, timeoutMs, env, signal });
  if ('printed' in outcome) return usable(outcome.printed, { why: 'printed nothing', hint: COMMAND_HINT });
  return { why: outcome.why, hint: outcome.notFound ? PATH_HINT : COMMAND_HINT };
}

async function fromKeychain(item: KeychainItem, { env, platform, signal }: Sources): Promise<Outcome> {
  const reader = keychainReader(item, platform);
  if (reader === undefined)
    return { why: `bottle knows no keychain on ${platform}`, hint: 'use another kind of reference' };
  const [program] = reader.argv;
  const outcome = await runSecretCommand({ argv: reader.argv, timeoutMs: KEYCHAIN_TIMEOUT_MS, env, signal });
  if ('printed' in outcome) return usable(outcome.printed, { why: 'the item is empty', hint: reader.store });
  if (outcome.notFound) return { why: `${program} is not installed`, hint: reader.install };
  const noItem = outcome.exit !== undefined && reader.noItem(outcome.exit);
  return { why: noItem ? 'there is no such item' : `${program}: ${outcome.why}`, hint: reader.store };
}

function usable(value: string | undefined, missing: { why: string; hint: string }): Outcome {
  if (value === undefined || value === '') return missing;
  if (Buffer.byteLength(value) > LARGEST_BYTES) return { ...missing, why: 'longer than 64 KiB' };
  rememberSecret(value);
  return { value };
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unreadable';
