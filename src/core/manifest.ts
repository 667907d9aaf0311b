/** What a person writes, as schemas: an agent file and the bottle file it names. The keys are the original bot-bottle's. */
import { z } from 'zod';
import { parseAllowEntry } from './allow-list.ts';

/** Stem of an agent or bottle file. */
export const MANIFEST_NAME = /^[a-z][a-z0-9-]*$/;
const SKILL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

const name = z
  .string('expected a name')
  .regex(MANIFEST_NAME, 'expected lower-case letters, digits and dashes, a letter first');
const host = z.string('expected a host name').superRefine((text, context) => {
  try {
    parseAllowEntry(text);
  } catch {
    const expected = 'expected a host such as api.example.com, *.example.com or example.com:8443';
    context.addIssue({ code: 'custom', message: expected });
  }
});
const driver = z.enum(['docker', 'smolvm'], 'expected docker or smolvm');

const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'expected a variable name');
const envValue = z
  .union([z.string(), z.number(), z.boolean()], 'expected text')
  .transform(String)
  .refine((value) => !value.startsWith('?') && !/^\$\{[^}]*\}$/.test(value), {
    error: 'expected a literal value: prompts ("?...") and host variables ("${...}") are not read by this version',
  });

const resources = z
  .strictObject({
    cpus: z.number('expected a number of CPUs').positive('expected more than 0').max(256, 'expected at most 256'),
    memoryMiB: z.int('expected a whole number of MiB').min(128, 'expected at least 128'),
    pids: z.int('expected a whole number').min(32, 'expected at least 32'),
  })
  .partial();

/** The front matter of an agent file. Claude Code's own keys are accepted and left to it, so one file can serve both. */
export const agentSchema = z.strictObject({
  bottle: name.optional(),
  skills: z
    .array(
      z.string('expected a skill name').regex(SKILL_NAME, 'expected the name of a skill folder'),
      'expected a list of skill names',
    )
    .default([]),
  env: z.record(envName, envValue, 'expected NAME: value pairs').default({}),
  driver: driver.optional(),
  resources: resources.default({}),
  name: z.unknown().optional(),
  description: z.unknown().optional(),
  model: z.unknown().optional(),
  color: z.unknown().optional(),
  memory: z.unknown().optional(),
});

/** The front matter of a bottle file. */
export const bottleSchema = z.strictObject({
  env: z.record(envName, envValue, 'expected NAME: value pairs').default({}),
  driver: driver.optional(),
  resources: resources.default({}),
  /** Hosts the agent may reach without credentials. */
  allow: z.array(host, 'expected a list of host names').default([]),
});

export type AgentManifest = z.output<typeof agentSchema>;
export type BottleManifest = z.output<typeof bottleSchema>;

/** One thing wrong with a file. */
export interface ManifestProblem {
  /** Dotted path of the key; empty for the whole front matter. */
  key: string;
  expected: string;
}

/** Every problem zod found, in the words a person reads. */
export function manifestProblems(error: z.ZodError, known: readonly string[]): ManifestProblem[] {
  return error.issues.flatMap((issue) => {
    const key = issue.path.join('.');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((unknown) => ({
        key: [...issue.path, unknown].join('.'),
        expected: issue.path.length === 0 ? `unknown key (known: ${known.join(', ')})` : 'unknown key',
      }));
    }
    const plain =
      issue.code === 'invalid_type' && issue.expected === 'object' ? 'expected key: value pairs' : issue.message;
    return [{ key, expected: plain }];
  });
}
