/** What is said of a value that a front matter or `config.yaml` may hold, for tests of the schemas. */
import { agentSchema } from '../../../src/core/manifest/agent-schema.ts';
import { bottleSchema } from '../../../src/core/manifest/bottle-schema.ts';
import { configSchema } from '../../../src/core/manifest/config-schema.ts';
import { pathText } from '../../../src/core/manifest/key-path.ts';
import type { ManifestKind } from '../../../src/core/manifest/older-keys.ts';
import { type Finding, findings } from '../../../src/core/manifest/problems.ts';

export const SCHEMAS = { agent: agentSchema, bottle: bottleSchema, config: configSchema } as const;

export function found(kind: ManifestKind, value: unknown): Finding[] {
  const schema = SCHEMAS[kind];
  const result = schema.safeParse(value);
  return result.success ? [] : findings(kind, schema, value, result.error);
}

/** `key: message` of everything that is wrong, in the order in which it is found. */
export const said = (kind: ManifestKind, value: unknown): string[] =>
  found(kind, value).map(({ path, message }) => `${pathText(path)}: ${message}`);
