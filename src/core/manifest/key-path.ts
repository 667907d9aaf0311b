/** How a place in a manifest is written for people. */

/** `egress.routes[1].auth.scheme`; empty for the whole front matter. Control characters of an odd key are escaped. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part, at) =>
      typeof part === 'number' ? `[${part}]` : `${at === 0 ? '' : '.'}${printable(String(part)).slice(0, 80)}`,
    )
    .join('');
}

const printable = (text: string): string => (/^[\x20-\x7e]*$/.test(text) ? text : JSON.stringify(text));
