/** `bottle ls` as a table. */
import Table from 'cli-table3';
import type { BottleRow } from '../../core/status.ts';
import { trimLines } from './status-text.ts';
import { BORDERLESS } from './table.ts';
import { clean, duration } from './text.ts';

/** @param now milliseconds since the epoch */
export function rowsText(rows: readonly BottleRow[], now: number): string {
  const table = new Table({
    ...BORDERLESS,
    head: ['BOTTLE', 'AGENT', 'PHASE', 'HOST', 'DRIVER', 'STARTED', 'HELD AT'],
  });
  for (const row of rows) {
    const started = `${duration(now - Date.parse(row.startedAt))} ago`;
    const held = row.heldSteps.join(', ');
    const why = row.stoppedBy ?? row.trouble?.code ?? row.waitsFor?.what;
    const phase = why === undefined ? row.phase : `${row.phase} (${why})`;
    table.push([row.id, row.agent, phase, row.host, row.driver ?? '-', started, held].map(clean));
  }
  return trimLines(table.toString());
}
