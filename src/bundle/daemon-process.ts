/**
 * The frame of a daemon of ours, as a child process of init: it gets its slice of the configuration as an IPC message
 * (so secrets are in no file and no environment), answers `ready` each time it has taken one, and ends with init.
 */

/** Message from init to a daemon. */
export interface ConfigMessage<Config> {
  config: Config;
}

/** Message from a daemon to init: the last configuration it was sent is in force. */
export const READY_MESSAGE = 'ready';

export interface Daemon<Config> {
  /** Puts a configuration into force, the first one and each later one; resolves when it counts. */
  configure(config: Config): Promise<void>;
}

/** Runs `daemon` until SIGTERM, SIGINT or the end of init. A configuration that cannot be taken ends the process. */
export function runDaemon<Config>(daemon: Daemon<Config>): void {
  const end = () => process.exit(0); // and with it every connection
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  process.on('disconnect', end); // init is gone
  let last: Config | undefined;
  let taking = Promise.resolve();
  const take = (config: Config, then: () => void) => {
    last = config;
    // One after the other: a newer configuration must not be overtaken by an older one.
    taking = taking.then(async () => {
      await daemon.configure(config);
      then();
    });
    taking.catch((error: unknown) => {
      process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    });
  };
  const tellReady = () => process.send?.(READY_MESSAGE);
  process.on('message', (message: ConfigMessage<Config>) => take(message.config, tellReady));
  process.on('SIGHUP', () => {
    // Nothing is told: init would take it for the answer to what it sent meanwhile.
    if (last !== undefined) take(last, () => {});
  });
}
