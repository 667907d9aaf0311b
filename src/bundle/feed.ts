/** How a daemon is given what it works from, when it starts and while it runs. */
import type { ChildProcess } from 'node:child_process';
import { READY_MESSAGE } from './daemon-process.ts';

export interface Feed {
  /** What has to be there before a process is started; without it, one is started before there is a configuration. */
  prepare?: (config: unknown) => Promise<void>;
  /** Gives a process just started its first configuration; calls `taken` once that is in force. */
  first(child: ChildProcess, config: unknown, taken: () => void): void;
  /**
   * Gives a running process another one. False, at once or by `refused`, when only a new process would take it.
   */
  next(child: ChildProcess, config: unknown, taken: () => void, refused: () => void): boolean;
}

/** For our own daemons: the configuration goes over the IPC channel, and `ready` comes back for each. */
export const byMessage: Feed = {
  first: send,
  next: (child, config, taken) => {
    send(child, config, taken);
    return true;
  },
};

/** Answers come in the order of the messages. */
const waiting = new WeakMap<ChildProcess, (() => void)[]>();

function send(child: ChildProcess, config: unknown, taken: () => void): void {
  const queue = waiting.get(child);
  if (queue !== undefined) queue.push(taken);
  else {
    const first = [taken];
    waiting.set(child, first);
    child.on('message', (message) => {
      if (message === READY_MESSAGE) first.shift()?.();
    });
  }
  // One that ends meanwhile is started again, with the newest configuration.
  child.send({ config }, () => undefined);
}
