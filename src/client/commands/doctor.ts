/** `bottle doctor`: what is there, what is missing, what to do. It changes nothing. */
import type { Context } from '../context.ts';
import { type Check, checks } from '../doctor-checks.ts';
import { stoppable } from '../interrupt.ts';
import { clean } from '../render/text.ts';

export interface DoctorOptions {
  boot?: boolean;
}

export async function run(context: Context, { boot = false }: DoctorOptions): Promise<number> {
  const { output, settings } = context;
  if (!boot) return report(context, await checks(settings));
  output.note('trying to boot a machine, which takes half a minute where none boots');
  return stoppable(output, 'stopped; the machine of the trial is gone', async (signal) => {
    const results = await checks(settings, signal);
    signal.throwIfAborted();
    return report(context, results);
  });
}

function report({ output }: Context, results: readonly Check[]): number {
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
