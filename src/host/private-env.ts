/** Variables of the machine that come from the host or the operator: looked up in the step that needs them, and nowhere else. */
import { BottleError } from '../core/errors.ts';
import type { PrivateVariable } from '../core/plan.ts';
import type { Answers } from './bottle-state.ts';
import { rememberSecret } from './scrub.ts';
import { WORKER_ENV_HINT } from './secrets.ts';

/**
 * The value of each variable.
 * @param env the variables of this process, the worker
 * @param answers what the operator has said, by variable
 * @throws BottleError `ENV_MISSING` naming each variable that has no value, never a value
 */
export function privateValues(
  variables: Readonly<Record<string, PrivateVariable>>,
  env: NodeJS.ProcessEnv,
  answers: Answers,
  id: string,
): Record<string, string> {
  const found = Object.entries(variables).map(([name, source]) => {
    const value = source.from === 'host' ? env[source.variable] : answers[name];
    return { name, source, value };
  });
  const missing = found.filter(({ value }) => value === undefined || value === '');
  if (missing.length > 0) {
    const what = missing.map(({ name, source }) =>
      source.from === 'host' ? `${name} (the host has no ${source.variable})` : `${name} (not answered)`,
    );
    const fromHost = missing.some(({ source }) => source.from === 'host');
    throw new BottleError('ENV_MISSING', `no value for ${what.join(', ')}`, {
      hint: fromHost ? WORKER_ENV_HINT : `bottle retry ${id} asks for it`,
    });
  }
  const values = Object.fromEntries(found.map(({ name, value = '' }) => [name, value]));
  for (const value of Object.values(values)) if (isTelling(value)) rememberSecret(value);
  return values;
}

/** A common word or a number would be taken out of every line of the log. */
const isTelling = (value: string): boolean => value.length >= 8 && !/^([A-Za-z]+|\d+)$/.test(value);

/** As text that a POSIX shell reads: within single quotes, everything but a single quote is itself. */
export function shellExports(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('');
}
