/**
 * What a bundle's container runs (under tini): `init.js` supervises the daemons named in `BOTTLE_DAEMONS`;
 * `init.js --daemon NAME` is one of them, started by the former from the same file.
 *
 * Environment: `BOTTLE_DAEMONS` csv; `BOTTLE_LISTEN_HOST` the address daemons bind to; `BOTTLE_ALLOW` JSON array of
 * hosts (allow-list.ts); `BOTTLE_STATUS_FILE` instead of /run/bottle/status.json.
 * Exits 0 after SIGTERM or SIGINT, 64 at once when the environment makes no sense.
 */

import { ConfigError, EXIT_CONFIG } from '../core/daemons.ts';
import { planDaemons } from './daemon-specs.ts';
import { statusReporter } from './status-report.ts';
import { type DaemonSpec, type Supervisor, startSupervisor } from './supervisor.ts';

const KEEP_RUNNING_MS = 2 ** 31 - 1;

function main(): void {
  const [mode, name] = process.argv.slice(2);
  if (mode === '--daemon') {
    runDaemon(name).catch((error: unknown) => {
      process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    });
    return;
  }
  let daemons: DaemonSpec[];
  try {
    daemons = planDaemons(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`[init] error: ${error.message}\n`);
    process.exitCode = EXIT_CONFIG;
    return;
  }
  supervise(daemons);
}

function supervise(daemons: DaemonSpec[]): void {
  // Before anything is told: whoever reads the first line may send a signal at once.
  let supervisor: Supervisor | undefined;
  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    process.stdout.write('[init] stopping\n');
    void supervisor?.stop().then(() => process.exit(0));
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => supervisor?.signal('SIGHUP'));
  setInterval(() => {}, KEEP_RUNNING_MS); // with no daemon at all, a bundle idles

  supervisor = startSupervisor({
    daemons,
    write: (lines) => process.stdout.write(lines),
    onChange: statusReporter({
      path: process.env['BOTTLE_STATUS_FILE'] ?? '/run/bottle/status.json',
      tell: (line) => process.stdout.write(line),
      complain: (line) => process.stderr.write(line),
    }),
  });
}

async function runDaemon(name: string | undefined): Promise<void> {
  // Loaded only in the process that needs it: init itself never pays for the proxy.
  if (name === 'pipelock') await (await import('./pipelock.ts')).runPipelock(process.env);
}

main();
