/** `bottle hosts`: this host and those of open bottles, and whether a worker serves each. */
import Table from 'cli-table3';
import type { Context } from '../context.ts';
import { listBottles } from '../list-bottles.ts';
import { trimLines } from '../render/status-text.ts';
import { BORDERLESS } from '../render/table.ts';
import { clean, duration } from '../render/text.ts';
import { withSession } from '../session.ts';
import { isRecent, pollersOf } from '../worker-presence.ts';

interface HostRow {
  host: string;
  /** How many bottles are open on it. */
  bottles: number;
  /** A worker was seen there within the last minute or so. */
  worker: boolean;
  /** ISO 8601, when one was last seen; null when the server remembers none. */
  lastSeen: string | null;
}

export async function run(context: Context): Promise<number> {
  const { output, settings } = context;
  const rows = await withSession(context, async (session) => {
    const bottles = await listBottles(session, { all: false });
    const hosts = [...new Set([settings.host, ...bottles.map(({ host }) => host)])].sort();
    return Promise.all(
      hosts.map(async (host): Promise<HostRow> => {
        const [newest] = await pollersOf(session.client, host);
        return {
          host,
          bottles: bottles.filter((row) => row.host === host).length,
          worker: isRecent(newest),
          lastSeen: newest?.lastSeen.toISOString() ?? null,
        };
      }),
    );
  });
  output.result(rows, () => {
    const table = new Table({ ...BORDERLESS, head: ['HOST', 'BOTTLES', 'WORKER', 'LAST SEEN'] });
    for (const { host, bottles, worker, lastSeen } of rows) {
      const seen = lastSeen === null ? '-' : `${duration(Date.now() - Date.parse(lastSeen))} ago`;
      table.push([clean(host), String(bottles), worker ? 'yes' : 'no', seen]);
    }
    return trimLines(table.toString());
  });
  return 0;
}
