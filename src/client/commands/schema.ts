/** `bottle schema`: JSON Schema of what a person writes, for editors. */
import { BottleError } from '../../core/errors.ts';
import { jsonSchema } from '../../core/manifest/json-schema.ts';
import type { Context } from '../context.ts';

const KINDS = ['agent', 'bottle', 'config'] as const;

/** @param kind one of them, or all as one document by their names */
export async function run({ output }: Context, kind: string | undefined): Promise<number> {
  const known = KINDS.find((each) => each === kind);
  if (kind !== undefined && known === undefined)
    throw new BottleError('USAGE', `there is no schema "${kind.slice(0, 40)}"`, {
      hint: `one of: ${KINDS.join(', ')}`,
    });
  const document =
    known === undefined ? Object.fromEntries(KINDS.map((each) => [each, jsonSchema(each)])) : jsonSchema(known);
  output.result(document, () => JSON.stringify(document, undefined, 2));
  return 0;
}
