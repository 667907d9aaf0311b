/** The schemas for editors: JSON Schema (draft 2020-12) of what the front matter of a file, or `config.yaml`, may hold. */
import { z } from 'zod';
import { agentSchema } from './agent-schema.ts';
import { bottleSchema } from './bottle-schema.ts';
import { configSchema } from './config-schema.ts';
import type { ManifestKind } from './older-keys.ts';

const SCHEMAS: Readonly<Record<ManifestKind, z.ZodObject>> = {
  agent: agentSchema,
  bottle: bottleSchema,
  config: configSchema,
};

const TITLES: Readonly<Record<ManifestKind, string>> = {
  agent: 'Agent file of bottleworks: BOTTLE_HOME/agents/NAME.md, front matter',
  bottle: 'Bottle file of bottleworks: BOTTLE_HOME/bottles/NAME.md, front matter',
  config: 'BOTTLE_HOME/config.yaml of bottleworks',
};

/** What a person may write; what only code can check (such as regular expressions) is not in it. */
export function jsonSchema(kind: ManifestKind): Record<string, unknown> {
  const schema = z.toJSONSchema(SCHEMAS[kind], { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>;
  return { ...schema, title: TITLES[kind] };
}
