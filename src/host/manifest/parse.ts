/** One file against its schema: its value with the place of everything in it, or all that is wrong with it. */
import type { z } from 'zod';
import { pathText } from '../../core/manifest/key-path.ts';
import type { Written } from '../../core/manifest/merge.ts';
import type { ManifestKind } from '../../core/manifest/older-keys.ts';
import { findings, type Problem } from '../../core/manifest/problems.ts';
import type { YamlText } from './yaml-text.ts';

export type Parsed<Value> = { ok: true; written: Written<Value> } | { ok: false; problems: Problem[] };

/** Where things stand in a file. */
export const originIn =
  (file: string, text: Pick<YamlText, 'position'>): Written<unknown>['origin'] =>
  (path, at = 'key') => ({ file, position: text.position(path, at) });

/** @param file its path, for the problems */
export function parseAs<Schema extends z.ZodObject>(
  kind: ManifestKind,
  schema: Schema,
  file: string,
  text: YamlText,
): Parsed<z.output<Schema>> {
  if (text.problems.length > 0) return { ok: false, problems: text.problems };
  const result = schema.safeParse(text.value);
  if (result.success) return { ok: true, written: { value: result.data, origin: originIn(file, text) } };
  const problems = findings(kind, schema, text.value, result.error).map(
    ({ path, atKey, message }): Problem => ({
      severity: 'error',
      file,
      position: text.position(path, atKey ? 'key' : 'value'),
      key: pathText(path),
      message,
    }),
  );
  return { ok: false, problems };
}
