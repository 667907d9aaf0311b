/**
 * What a bundle's container runs (under tini): `init.js` supervises the daemons named in `BOTTLE_DAEMONS`;
 * `init.js --daemon NAME` is one of them, started by the former from the same file.
 *
 * Environment: `BOTTLE_DAEMONS` csv; `BOTTLE_LISTEN_HOST` the address daemons bind to; `BOTTLE_ALLOW` JSON array of
 * hosts (allow-list.ts); `BOTTLE_STATUS_FILE` instead of /run/bottle/status.json.
 * Exits 0 after SIGTERM or SIGINT, 64 at once when the environment makes no sense.
 */
import { planDaemons } from './daemon-specs.ts';
import { ConfigError, EXIT_CONFIG, statusLine } from './daemons.ts';
import { type DaemonStatus, writeStatusFile } from './status-file.ts';
import { type DaemonSpec, type Supervisor, startSupervisor } from './supervisor.ts';

const KEEP_RUNNING_MS = 2 ** 31 - 1;

function main(): void {
  const [mode, name] = process.argv.slice(2);
  if (mode === '--daemon') {
    void runDaemon(name);
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
    onChange: report(process.env['BOTTLE_STATUS_FILE'] ?? '/run/bottle/status.json'),
  });
}

/** Writes the status file at each change, and a line for the log whenever a state is another than before. */
function report(path: string): (daemons: Readonly<Record<string, DaemonStatus>>) => void {
  let lastLine = '';
  let complained = false;
  return (daemons) => {
    try {
      writeStatusFile(path, daemons);
    } catch (error) {
      // The host follows the log, so a read-only file system costs the file, not the bundle.
      if (!complained) process.stderr.write(`[init] error: no status file: ${(error as Error).message}\n`);
      complained = true;
    }
    const line = statusLine(Object.fromEntries(Object.entries(daemons).map(([name, { state }]) => [name, state])));
    if (line !== lastLine) process.stdout.write(`${line}\n`);
    lastLine = line;
  };
}

async function runDaemon(name: string | undefined): Promise<void> {
  // Loaded only in the process that needs it: init itself never pays for the proxy.
  if (name === 'pipelock') await (await import('./pipelock.ts')).runPipelock(process.env);
}

main();
