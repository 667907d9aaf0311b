/** Which part of a log a person asks for, written as for `docker logs`. Pure. */
import { BottleError } from '../core/errors.ts';

/** @returns how many lines from the end on; undefined for all of them */
export function tailOf(text: string | undefined): number | undefined {
  if (text === undefined || text === 'all') return undefined;
  if (!/^\d{1,9}$/.test(text)) {
    throw new BottleError('USAGE', `--tail is "${text.slice(0, 40)}", expected a number of lines, or all`);
  }
  return Number(text);
}

const UNITS_MS: Record<string, number> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 };
const ONE = /(\d+(?:\.\d+)?)(ms|[dhms])/g;

/**
 * @param text a time (RFC 3339; without a zone it is this computer's), seconds since 1970, or how long ago: `90s`, `1h30m`, `2d`
 * @param now in milliseconds
 * @returns RFC 3339, in UTC
 */
export function sinceOf(text: string | undefined, now: number): string | undefined {
  if (text === undefined) return undefined;
  if (/^(\d+(\.\d+)?(ms|[dhms]))+$/.test(text)) {
    const ago = [...text.matchAll(ONE)].reduce(
      (sum, [, count, unit]) => sum + Number(count) * (UNITS_MS[unit ?? ''] ?? 0),
      0,
    );
    return isoOf(now - ago, text);
  }
  const [, seconds, fraction = ''] = /^(\d{1,11})(\.\d{1,9})?$/.exec(text) ?? [];
  if (seconds !== undefined) return isoOf(Number(seconds) * 1000, text).replace('.000', fraction || '.000');
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d{1,9})?)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text))
    throw unknown(text);
  // A day alone would be one of UTC's, and an hour alone nothing at all.
  const whole = text.replace(/^([^T]+)$/, '$1T00:00').replace(/(T\d{2})(?=$|Z|[+-])/, '$1:00');
  const at = isoOf(Date.parse(whole), text);
  return at.replace(/\.\d+Z$/, `${/\.\d+/.exec(whole)?.[0] ?? '.000'}Z`);
}

function isoOf(ms: number, text: string): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) throw unknown(text);
  return at.toISOString();
}

const unknown = (text: string): BottleError =>
  new BottleError('USAGE', `--since is "${text.slice(0, 40)}", which is no time`, {
    hint: 'such as 10m, 1h30m, 2026-11-23T10:00:00Z',
  });
