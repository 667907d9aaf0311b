/** `bottle hosts`: this host and those of open bottles, and whether a worker serves each. */
import Table from 'cli-table3';
import type { BottleRow } from '../../core/status.ts';
import { describeBottle, launchOf, queryStatus } from '../bottle-status.ts';
import type { Context } from '../context.ts';
import { listBottles } from '../list-bottles.ts';
import { trimLines } from '../render/status-text.ts';
import { BORDERLESS } from '../render/table.ts';
import { clean, duration } from '../render/text.ts';
import { SLOW_WORKER, sayIfSlow } from '../say-if-slow.ts';
import { type Session, withSession } from '../session.ts';
import { isRecent, localWorkerServes, type Poller, pollersOf } from '../worker-presence.ts';

interface HostRow {
  host: string;
  /** How many bottles are open on it. */
  bottles: number;
  /** A worker serves it: on another host, one was seen within the last minute or so. */
  worker: boolean;
  /** ISO 8601, when one was last seen; null when the server remembers none. */
  lastSeen: string | null;
}

export async function run(context: Context): Promise<number> {
  const { output, settings } = context;
  const look = async (session: Session): Promise<HostRow[]> => {
    const bottles = await listBottles(session, { all: false });
    const hosts = [...new Set([settings.host, ...bottles.map(({ host }) => host)])].sort();
    return Promise.all(
      hosts.map(async (host): Promise<HostRow> => {
        const [newest] = await pollersOf(session.client, host);
        const here = bottles.filter((row) => row.host === host);
        return {
          host,
          bottles: here.length,
          worker: await isServed(session, host, newest, here[0]),
          lastSeen: newest?.lastSeen.toISOString() ?? null,
        };
      }),
    );
  };
  const rows = await withSession(context, (session) => sayIfSlow(output, SLOW_WORKER, () => look(session)));
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

/** What the server remembers of a worker outlives it: this host's own has a lock, and any other answers for a bottle of its host. */
async function isServed(
  session: Session,
  host: string,
  newest: Poller | undefined,
  bottle: BottleRow | undefined,
): Promise<boolean> {
  const { settings, target } = session;
  if (host === settings.host) return localWorkerServes(settings, target).catch(() => false);
  if (!isRecent(newest) || bottle === undefined) return isRecent(newest);
  const asked = describeBottle(session, bottle.id).then((description) => queryStatus(session, launchOf(description)));
  return asked.then(
    () => true,
    () => false,
  );
}
