/** Reads `config.yaml` of BOTTLE_HOME. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Config, configSchema } from '../core/manifest/config-schema.ts';
import { inOrder, type Problem } from '../core/manifest/problems.ts';
import { expandHome } from './expand-home.ts';
import { manifestError } from './manifest/manifest-error.ts';
import { type Parsed, parseAs } from './manifest/parse.ts';
import { readYaml } from './manifest/yaml-text.ts';
import { networkCaProblems } from './network-ca.ts';
import type { Settings } from './settings.ts';

export type { Config } from '../core/manifest/config-schema.ts';

/**
 * Reads and validates `config.yaml`; without the file, the defaults.
 * @throws BottleError `MANIFEST_INVALID` with every problem: file, line, key and what was expected there
 */
export function readConfig(settings: Pick<Settings, 'home'>): Config {
  const parsed = parsedConfig(settings);
  if (parsed.ok) return parsed.written.value;
  throw manifestError(inOrder(parsed.problems));
}

/** Everything wrong with it. */
export function readConfigProblems(settings: Pick<Settings, 'home'>): Problem[] {
  const parsed = parsedConfig(settings);
  if (!parsed.ok) return inOrder(parsed.problems);
  const { ca } = parsed.written.value.network;
  if (ca === undefined) return [];
  const { position } = parsed.written.origin(['network', 'ca'], 'value');
  return networkCaProblems(expandHome(ca), settings).map((problem) => ({ ...problem, position }));
}

function parsedConfig(settings: Pick<Settings, 'home'>): Parsed<Config> {
  const file = path.join(settings.home, 'config.yaml');
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const message = `cannot be read (${code})`;
    if (code !== 'ENOENT')
      return { ok: false, problems: [{ severity: 'error', file, position: null, key: '', message }] };
  }
  return parseAs('config', configSchema, file, readYaml(file, text));
}
