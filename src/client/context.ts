/** What every command gets: its output, and the settings of this process, read when first needed. */
import { type Settings, settings } from '../host/settings.ts';
import type { Output } from './output.ts';

export interface Context {
  readonly output: Output;
  /** @throws BottleError `USAGE` when a BOTTLE_ variable cannot be what it says */
  readonly settings: Settings;
}

export function createContext(output: Output): Context {
  let read: Settings | undefined;
  return {
    output,
    get settings() {
      read ??= settings();
      return read;
    },
  };
}

/** What a command file exports as `run`: resolves to the exit code. */
export type Run<Arguments extends unknown[]> = (context: Context, ...args: Arguments) => Promise<number>;
