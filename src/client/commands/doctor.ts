/** `bottle doctor`: what is there, what is missing, what to do. It changes nothing. */

import type { Context } from '../context.ts';
import { checks } from '../doctor-checks.ts';
import { clean } from '../render/text.ts';

export async function run({ output, settings }: Context): Promise<number> {
  const results = await checks(settings);
  const ok = results.every(({ state }) => state !== 'fail');
  const { green, yellow, red } = output.outColours;
  const paint = { ok: green, warn: yellow, fail: red } as const;
  output.result({ ok, checks: results }, () =>
    results
      .flatMap(({ name, state, found, hint }) => [
        `${paint[state](state.padEnd(4))}  ${name.padEnd(16)} ${clean(found)}`,
        ...(hint === undefined ? [] : [`      ${' '.repeat(16)} hint: ${clean(hint)}`]),
      ])
      .join('\n'),
  );
  return ok ? 0 : 1;
}
