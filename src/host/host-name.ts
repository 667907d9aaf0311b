/** Names of this host that are written down: in config.yaml by a person, and in the state at first use (host-pin.ts). */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$/;

export const isHostName = (text: string): boolean => HOST_NAME.test(text);

export const pinFile = (state: string): string => path.join(state, 'host');

/** The name under which this state was first used; undefined before that. */
export function pinnedHost(state: string): string | undefined {
  try {
    const name = readFileSync(pinFile(state), 'utf8').trim();
    return isHostName(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

/**
 * `hosts.name` of config.yaml. Settings are read by every command, so the file is parsed only where it may say that; what is
 * wrong with it is told by who reads the whole of it.
 */
export function configuredHost(home: string): string | undefined {
  try {
    const text = readFileSync(path.join(home, 'config.yaml'), 'utf8');
    if (!/\bhosts\b/.test(text)) return undefined;
    const { parse } = createRequire(import.meta.url)('yaml') as { parse(text: string): unknown };
    const { name } = (parse(text) as { hosts?: { name?: unknown } } | null)?.hosts ?? {};
    return typeof name === 'string' && isHostName(name) ? name : undefined;
  } catch {
    return undefined;
  }
}
