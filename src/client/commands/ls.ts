/** `bottle ls`: bottles on all hosts. */
import type { ErrorView } from '../../core/errors.ts';
import type { BottleRow, Phase } from '../../core/status.ts';
import { fullState } from '../../host/disk.ts';
import type { Context } from '../context.ts';
import { engineSilence } from '../engine-silence.ts';
import { listBottles } from '../list-bottles.ts';
import { rowsText } from '../render/rows-text.ts';
import { clean } from '../render/text.ts';
import { withSession } from '../session.ts';

export async function run(context: Context, options: { all?: boolean }): Promise<number> {
  const { output, settings } = context;
  const all = options.all === true;
  const rows = await withSession(context, async (session) => {
    const listed = await listBottles(session, { all });
    const isHere = ({ host, phase }: BottleRow): boolean => host === settings.host && !isOver(phase);
    if (!listed.some(isHere)) return listed;
    // What this host sees of itself is newer than what its worker has told.
    const trouble = (await engineSilence(settings)) ?? fullState(session.target)?.view();
    return trouble === undefined ? listed : listed.map((row) => (isHere(row) ? { ...row, trouble } : row));
  });
  if (rows.length === 0 && !output.flags.json) {
    output.note(
      all ? 'no bottles yet; launch one with: bottle up <agent>' : 'no open bottles; closed ones: bottle ls --all',
    );
  }
  for (const line of new Set(rows.flatMap(({ trouble }) => (trouble === undefined ? [] : [noteOf(trouble)]))))
    output.note(line);
  output.result(rows, () => (rows.length === 0 ? '' : rowsText(rows, Date.now())));
  return 0;
}

const isOver = (phase: Phase): boolean => phase === 'stopped' || phase === 'failed';

const noteOf = ({ message, hint }: ErrorView): string =>
  clean(`note: ${message}${hint === undefined ? '' : `; ${hint}`}`);
