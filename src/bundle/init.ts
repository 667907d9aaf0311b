/**
 * What a bundle's container runs (under tini): `init.js` supervises the daemons named in `BOTTLE_DAEMONS`;
 * `init.js --daemon NAME` is one of them, started by the former from the same file, and `init.js --git-hook` what git
 * runs for git-gate on a push; `init.js --relay ADDRESS` is what the host starts beside them for a machine without a network.
 *
 * Environment: `BOTTLE_DAEMONS` csv; `BOTTLE_SCANNER` `pipelock` or `allow-list`; `BOTTLE_SEPARATE_USERS=1` a user for
 * each daemon; `BOTTLE_STATUS_SOCKET` instead of /run/bottle/init.sock.
 * Standard input: one {@link Delivery} a line, the first one and each later one; what it holds is kept in memory only.
 * Empty lines do not count.
 * Exits 0 after SIGTERM or SIGINT, 64 at once when the environment makes no sense.
 */
import type { Delivery } from '../core/bundle-config.ts';
import { appliedLine, ConfigError, EXIT_CONFIG, givenLine } from '../core/daemons.ts';
import { planDaemons } from './daemon-specs.ts';
import { eachLine } from './each-line.ts';
import { statusReporter } from './status-report.ts';
import { type DaemonSpec, type Supervisor, startSupervisor } from './supervisor.ts';

const KEEP_RUNNING_MS = 2 ** 31 - 1;
const STATUS_SOCKET = '/run/bottle/init.sock';

function main(): void {
  const [mode, name] = process.argv.slice(2);
  if (mode === '--daemon') {
    runDaemon(name).catch(endWith);
    return;
  }
  if (mode === '--git-hook') {
    import('./git-gate-hook.ts').then(({ runGitHook }) => runGitHook()).catch(endWith);
    return;
  }
  if (mode === '--relay') {
    import('./relay.ts').then(({ runRelay }) => runRelay(name ?? '')).catch(endWith);
    return;
  }
  if (mode === '--reach') {
    import('./reach.ts').then(({ runReach }) => runReach()).catch(endWith);
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

  const status = statusReporter({
    socket: process.env['BOTTLE_STATUS_SOCKET'] ?? STATUS_SOCKET,
    tell: (line) => process.stdout.write(line),
    complain: (line) => process.stderr.write(line),
  });
  supervisor = startSupervisor({ daemons, write: (lines) => process.stdout.write(lines), onChange: status.report });
  takeDeliveries(daemons, supervisor, status.retell);
}

function takeDeliveries(daemons: readonly DaemonSpec[], supervisor: Supervisor, tellStates: () => void): void {
  eachLine(process.stdin, (line) => {
    if (line === '') return;
    let delivery: Delivery;
    try {
      delivery = deliveryOf(line, daemons);
    } catch {
      // Not a word of what came in: it may be a secret.
      process.stderr.write('[init] error: a delivery that cannot be read\n');
      return;
    }
    process.stdout.write(`${givenLine(delivery.revision)}\n`);
    void supervisor.apply(delivery.config as Record<string, unknown>).then(() => {
      process.stdout.write(`${appliedLine(delivery.revision)}\n`);
      tellStates();
    });
  });
}

function deliveryOf(line: string, daemons: readonly DaemonSpec[]): Delivery {
  const { revision, config } = JSON.parse(line) as Delivery;
  if (!/^[\w-]{1,64}$/.test(revision)) throw new TypeError('no revision');
  for (const { name } of daemons) if (!(name in config)) throw new TypeError(`nothing for ${name}`);
  return { revision, config };
}

/** Loaded only in the process that needs it: init itself never pays for a daemon. */
async function runDaemon(name: string | undefined): Promise<void> {
  if (name === 'pipelock') (await import('./allow-list.ts')).runAllowList();
  if (name === 'front') (await import('./front.ts')).runFront();
  if (name === 'egress') (await import('./egress.ts')).runEgress();
  if (name === 'git-gate') (await import('./git-gate.ts')).runGitGate();
  if (name === 'supervise') (await import('./supervise.ts')).runSupervise();
}

function endWith(error: unknown): void {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

main();
