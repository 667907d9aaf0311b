/** Reads the secrets that references name, in the step that needs them and nowhere else. */
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { BottleError } from '../core/errors.ts';
import { parseSecretRef, SECRET_REF_FORMS, type SecretRef } from '../core/secret-ref.ts';

const LARGEST_CHARACTERS = 64 * 1024;

/**
 * The value of every reference. One line end at a file's end is not part of the secret, as editors add it.
 * @param env the variables that `env:` names
 * @throws BottleError `SECRET_MISSING` naming every reference that cannot be read, never a value
 */
export async function resolveSecrets(
  references: readonly SecretRef[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<Map<SecretRef, string>> {
  const outcomes = await Promise.all(references.map((reference) => outcomeOf(reference, env)));
  const missing = outcomes.flatMap((outcome) => ('why' in outcome ? [outcome] : []));
  const [first] = missing;
  if (first === undefined)
    return new Map(references.map((reference, at) => [reference, (outcomes[at] as Resolved).value]));
  const what = missing.map(({ reference, why }) => `${reference} (${why})`).join(', ');
  throw new BottleError('SECRET_MISSING', `no secret at ${what}`, { hint: hintFor(first.reference) });
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

interface Resolved {
  value: string;
}
interface Missing {
  reference: SecretRef;
  why: string;
}

async function outcomeOf(reference: SecretRef, env: NodeJS.ProcessEnv): Promise<Resolved | Missing> {
  const parsed = parseSecretRef(reference);
  if (parsed === undefined) return { reference, why: `expected ${SECRET_REF_FORMS}` };
  if (parsed.kind === 'env') return usable(reference, env[parsed.name], 'the variable is not set');
  const file = parsed.path.startsWith('~/') ? path.join(os.homedir(), parsed.path.slice(2)) : parsed.path;
  try {
    const text = await readFile(file, 'utf8');
    return usable(reference, text.replace(/\r?\n$/, ''), 'the file is empty');
  } catch (error) {
    return { reference, why: codeOf(error) };
  }
}

function usable(reference: SecretRef, value: string | undefined, whyNot: string): Resolved | Missing {
  if (value === undefined || value === '') return { reference, why: whyNot };
  if (value.length > LARGEST_CHARACTERS) return { reference, why: 'longer than 64 KiB' };
  return { value };
}

/** The worker reads the variables it was started with. */
const hintFor = (reference: SecretRef): string =>
  reference.startsWith('env:')
    ? `export it where the worker starts (bottle serve --stop, then bottle serve --detach), then retry; or refer to a file`
    : 'put the secret there, readable by you alone, then retry';

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unreadable';
