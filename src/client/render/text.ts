/** Small pure pieces of text: cleaned, measured, cut. */
import { stripVTControlCharacters } from 'node:util';

/**
 * Text from an agent, a workflow or a manifest, made safe for a terminal: without escape sequences, control
 * characters and the invisible ones that reorder what stands around them.
 */
export function clean(text: string): string {
  return stripVTControlCharacters(text).replace(/[\p{Cc}\p{Cf}]/gu, '');
}

/** Cuts to at most `width` characters, the last one a dash of three dots if something is missing. */
export function shorten(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  return width < 1 ? '' : `${characters.slice(0, width - 1).join('')}…`;
}

/** `84 ms`, `1.2 s`, `3 min 4 s`, `2 h 5 min`, `3 d 2 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  const hours = Math.floor(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
