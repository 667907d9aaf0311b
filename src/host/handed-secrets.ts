/**
 * What a bundle was last handed, while this process lives: `check` looks in the machine for these very values. To read them
 * again could give others (a program that makes a new token each time), and would ask a person twice.
 */
import type { SecretRef } from '../core/secret-ref.ts';
import { resolveSecrets } from './secrets.ts';

const handed = new Map<string, ReadonlyMap<SecretRef, string>>();

export const rememberHanded = (id: string, secrets: ReadonlyMap<SecretRef, string>): void => {
  handed.set(id, secrets);
};

export const forgetHanded = (id: string): void => {
  handed.delete(id);
};

/** The values a bottle's bundle has; those that this process did not hand over itself are read. @throws BottleError `SECRET_MISSING` */
export async function handedSecrets(
  id: string,
  references: readonly SecretRef[],
  signal: AbortSignal,
): Promise<Map<SecretRef, string>> {
  const known = handed.get(id) ?? new Map<SecretRef, string>();
  const unknown = references.filter((reference) => !known.has(reference));
  const read = await resolveSecrets(unknown, { signal });
  return new Map(references.map((reference) => [reference, known.get(reference) ?? read.get(reference) ?? '']));
}
