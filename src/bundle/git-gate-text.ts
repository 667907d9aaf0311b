/** What git-gate lets people read: text of agents and upstreams without tricks, and without credentials. */

/** `text` as printable ASCII: all else as `\u{...}`, the end cut off after `max` characters. */
export function printable(text: string, max = 200): string {
  const escaped = text.replace(/[^\x20-\x7e]/gu, (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`);
  return escaped.length > max ? `${escaped.slice(0, max)}...` : escaped;
}

/** Takes out `secrets`, whatever stands as a login in a URL, and control characters other than line ends and tabs. */
export function clean(secrets: readonly string[], text: string): string {
  const plain = secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
  return plain.replace(/(?<=\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]+(?=@)/gi, '***').replace(/(?![\n\t])\p{Cc}/gu, '');
}

/** The forms in which an upstream might echo a token: bare, in a URL, in a header of Basic authentication. */
export function echoesOf(user: string, token: string): string[] {
  const basic = Buffer.from(`${user}:${token}`).toString('base64');
  return [...new Set([token, encodeURIComponent(token), basic])].filter((text) => text !== '');
}

/** What git, libcurl and ssh say, and what has happened; the first that fits. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/Could not resolve proxy/i, 'the proxy cannot be found'],
  [/CONNECT tunnel failed, response 40[17]|HTTP code 40[17] from proxy/i, 'the proxy refuses the login'],
  [/CONNECT tunnel failed|from proxy after CONNECT|Proxy CONNECT aborted/i, 'the proxy does not let it through'],
  [/Could not resolve host/i, "the upstream's name cannot be resolved"],
  [
    /Failed to connect|Couldn't connect|Connection (?:refused|timed out)|No route to host/i,
    'the upstream cannot be reached',
  ],
  [
    /Authentication failed|could not read (?:Username|Password)|Permission denied|error: 40[13]/,
    'the upstream refused the credential',
  ],
];

/** One line that says why git could not do what we asked of the upstream. */
export function upstreamReason(stderr: string): string {
  const lines = stderr.split('\n').flatMap((line) => line.trim() || []);
  const what = REASONS.find(([pattern]) => pattern.test(stderr))?.[1] ?? 'the upstream cannot be used';
  return `${what}: ${lines.join('; ').slice(0, 800)}`;
}

/** One word of a POSIX shell, for the few commands that git takes as a shell's. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
