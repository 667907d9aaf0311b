/** The agent's git configuration: every way to write a repository's address leads to its gate, and who commits. */

export interface GitConfigInput {
  /** Where git-gate answers: `http://<bundle>:9418`. */
  gate: string;
  repos: readonly { name: string; upstream: string }[];
  user: { name?: string; email?: string };
}

/** @returns the text of a git configuration file; the same input gives the same text */
export function gitConfig({ gate, repos, user }: GitConfigInput): string {
  const rewrites = repos.map(({ name, upstream }) =>
    section(
      `url ${quoted(`${gate}/${name}.git`)}`,
      addressesOf(upstream).map((address) => ['insteadOf', address]),
    ),
  );
  const identity = Object.entries(user).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return [
    // This file stands in for the system's own, which has what packages write there: git-lfs' filters, for one.
    section('include', [['path', '/etc/gitconfig']]),
    ...rewrites,
    ...(identity.length === 0 ? [] : [section('user', identity)]),
    // The default branch's name is nobody's surprise, and a first push needs no further option.
    section('init', [['defaultBranch', 'main']]),
    section('push', [['autoSetupRemote', 'true']]),
    // What comes in is checked before it is trusted.
    section('transfer', [['fsckObjects', 'true']]),
  ].join('');
}

/**
 * Every form of a repository's address. Git replaces beginnings, the longest first: the forms with `.git` are listed
 * too, or what follows the shorter ones would stay.
 */
export function addressesOf(upstream: string): string[] {
  const { host, hostname, pathname, username, port } = new URL(upstream.replace(/^ssh:/, 'https:'));
  const path = pathname.replace(/^\/+/, '').replace(/(\.git)?\/*$/, '');
  const user = username === '' ? 'git' : username;
  const bases = [
    `https://${upstream.startsWith('ssh:') ? hostname : host}/${path}`,
    `ssh://${user}@${upstream.startsWith('ssh:') ? host : hostname}/${path}`,
    `ssh://${upstream.startsWith('ssh:') ? host : hostname}/${path}`,
    // The scp form has no place for a port.
    ...(upstream.startsWith('ssh:') && port !== '' ? [] : [`${user}@${hostname}:${path}`]),
  ];
  return [...bases.map((base) => `${base}.git`), ...bases];
}

function section(header: string, entries: readonly (readonly [string, string])[]): string {
  return `[${header}]\n${entries.map(([key, value]) => `\t${key} = ${quoted(value)}\n`).join('')}`;
}

/** git-config(1): in quotes, only backslash and quote need escaping; control characters were refused by the manifest. */
const quoted = (value: string): string => `"${value.replace(/[\\"]/g, '\\$&')}"`;
