/** `config.yaml` in BOTTLE_HOME: what a person sets once for a host. The file and every key in it are optional. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { BottleError } from '../core/errors.ts';
import type { Settings } from './settings.ts';

const DEFAULT_POOL = '10.214.0.0/16';
/** Docker's own bridge. */
const DEFAULT_UPLINK = 'bridge';

const driver = z.enum(['docker', 'smolvm'], { error: 'expected "docker" or "smolvm"' });
const pool = z
  .string({ error: `expected a network such as ${DEFAULT_POOL}` })
  .refine(isPool, { error: `expected an IPv4 network such as ${DEFAULT_POOL}, with a prefix from /8 to /28` });
/** A Docker network: the bundles' way out, and with a network of one's own the names that it gives. */
const uplink = z
  .string({ error: 'expected the name of a Docker network' })
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/, { error: 'expected the name of a Docker network' });
const ca = z
  .string({ error: 'expected a PEM file' })
  .regex(/^(\/|~\/)./, { error: 'expected an absolute path, or one below ~/' });
const ui = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .transform((url) => url.replace(/\/+$/, ''));
const cpus = z.number({ error: 'expected a number of CPUs' }).gt(0, { error: 'expected more than 0 CPUs' });
const memory = z.int({ error: 'expected a whole number of MiB' }).min(128, { error: 'expected at least 128 MiB' });

const configSchema = z.strictObject({
  /** The machine driver where neither a manifest nor the command line names one. */
  driver: driver.optional(),
  network: z
    .strictObject({
      pool: pool.default(DEFAULT_POOL),
      uplink: uplink.default(DEFAULT_UPLINK),
      /** A CA that every upstream may have, such as a company's own. */
      ca: ca.optional(),
    })
    .default({ pool: DEFAULT_POOL, uplink: DEFAULT_UPLINK }),
  /** Where the UI of a server that is not the embedded one is to be found. */
  temporal: z.strictObject({ ui: ui.optional() }).default({}),
  /** Limits of a machine where the manifest sets none. */
  resources: z.strictObject({ cpus: cpus.optional(), memoryMiB: memory.optional() }).default({}),
});

export type Config = z.output<typeof configSchema>;

/**
 * Reads and validates `config.yaml`; without the file, the defaults.
 * @throws BottleError `MANIFEST_INVALID` naming file, key and what was expected there
 */
export function readConfig(settings: Pick<Settings, 'home'>): Config {
  const file = path.join(settings.home, 'config.yaml');
  const invalid = (what: string, hint?: string): BottleError =>
    new BottleError('MANIFEST_INVALID', `${file}: ${what}`, { hint });
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return configSchema.parse({});
    throw invalid(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  let value: unknown;
  try {
    value = parse(text) ?? {};
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    // The first line says what and where; the rest quotes the file.
    throw invalid(`is not YAML: ${error.message.split('\n', 1)[0]?.replace(/:$/, '')}`);
  }
  const result = configSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => [...issue.path, key].join('.'));
    throw invalid(
      `unknown key ${keys.join(', ')}`,
      'the keys are driver, network.pool, network.uplink, network.ca, temporal.ui, resources.cpus, resources.memoryMiB',
    );
  }
  const key = issue?.path.join('.') || 'the file';
  throw invalid(
    `${key}: ${issue?.code === 'invalid_type' && issue.expected === 'object' ? 'expected a mapping' : issue?.message}`,
  );
}

/** An IPv4 network in CIDR form from /8 to /28, written by its first address, so that nothing is masked away unseen. */
function isPool(text: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return false;
  const numbers = match.slice(1).map(Number);
  const prefix = numbers.pop() as number;
  if (prefix < 8 || prefix > 28 || numbers.some((octet) => octet > 255)) return false;
  const address = numbers.reduce((sum, octet) => sum * 256 + octet, 0);
  return address % 2 ** (32 - prefix) === 0;
}
