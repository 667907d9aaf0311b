/** How long something lasts, as a person writes it. */

const UNITS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const LONGEST_MS = 365 * UNITS.d;

/** `90s`, `10m`, `2h`, `1d`, in milliseconds; undefined for anything else, for nothing, and for more than a year. */
export function parseDuration(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})\s*([smhd])$/.exec(text.trim()) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  const ms = Number(count) * UNITS[unit as keyof typeof UNITS];
  return ms > 0 && ms <= LONGEST_MS ? ms : undefined;
}
