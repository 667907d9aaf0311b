/** `bottle ls`: bottles on all hosts. */
import type { Context } from '../context.ts';
import { engineSilence } from '../engine-silence.ts';
import { listBottles } from '../list-bottles.ts';
import { rowsText } from '../render/rows-text.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';

export async function run(context: Context, options: { all?: boolean }): Promise<number> {
  const { output, settings } = context;
  const all = options.all === true;
  const rows = await withSession(context, (session) => listBottles(session, { all }));
  if (rows.length === 0 && !output.flags.json) {
    output.note(
      all ? 'no bottles yet; launch one with: bottle up <agent>' : 'no open bottles; closed ones: bottle ls --all',
    );
  }
  const silence = rows.some(({ host }) => host === settings.host) ? await engineSilence(settings) : undefined;
  if (silence !== undefined) output.note(clean(`note: ${silence.message}; ${silence.hint}`));
  output.result(rows, () => (rows.length === 0 ? '' : rowsText(rows, Date.now())));
  return 0;
}
