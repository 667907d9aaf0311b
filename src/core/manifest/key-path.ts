/** How a place in a manifest is written for people. */

/** `egress.routes[1].auth.scheme`; empty for the whole front matter. What cannot be seen of an odd key is escaped. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, at) =>
      typeof part === 'number' ? `[${part}]` : `${at === 0 ? '' : '.'}${printable(String(part)).slice(0, 80)}`,
    )
    .join('');
}

const printable = (text: string): string => (/^[\x20-\x7e]*$/.test(text) ? text : quoted(text));

/** JSON of a text, without anything that is not seen, moves a cursor, ends a line, or reorders what is seen. */
export const quoted = (text: string): string =>
  JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (each) => `\\u{${each.codePointAt(0)?.toString(16)}}`);
