/** The daemon in pipelock's place: the allow-list proxy, on the bundle's address. Runs as a child process of init. */
import { parseAllowList } from '../core/allow-list.ts';
import { PIPELOCK_PORT } from '../core/daemons.ts';
import { startAllowListProxy } from './allow-list-proxy.ts';

/** Starts it from its environment (checked by init before), tells init once it listens, and ends on SIGTERM. */
export async function runPipelock(env: NodeJS.ProcessEnv): Promise<void> {
  const end = () => process.exit(0); // and with it every connection
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('disconnect', end); // init is gone
  process.on('SIGHUP', () => {}); // nothing to read again: the list is fixed when the container is made
  await startAllowListProxy({
    host: env['BOTTLE_LISTEN_HOST'] ?? '',
    port: PIPELOCK_PORT,
    allow: parseAllowList(env['BOTTLE_ALLOW'] ?? '[]'),
    onRequest: (record) => process.stdout.write(`${JSON.stringify(record)}\n`),
  });
  process.send?.('ready');
}
