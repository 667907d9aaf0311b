/** From a repository's configuration to what its git processes get: files of its own, and an environment. */
import path from 'node:path';
import { canonicalHost } from '../core/allow-list.ts';
import type { BranchRules } from '../core/branch-rules.ts';
import type { GitAuth, GitRepoConfig } from '../core/bundle-config.ts';
import { GIT_GATE_SECRETS } from '../core/daemons.ts';
import { goesDirectly, proxyUrl, type UpstreamProxy } from '../core/network-proxy.ts';
import { echoesOf, shellWord } from './git-gate-text.ts';

/** Where the gate keeps things in its own directory. */
export const layout = (root: string) => ({
  /** GIT_PROJECT_ROOT: `<name>.git`. */
  repositories: path.join(root, 'repositories'),
  /** A directory for each name. */
  secrets: path.join(root, path.basename(GIT_GATE_SECRETS)),
  hooks: path.join(root, 'hooks'),
  home: path.join(root, 'home'),
});

/** What the hook needs to know, in a file: it holds secrets, and may change while a push runs. */
export interface HookSettings extends BranchRules {
  upstream: string;
  /** Never to be told. */
  secrets: string[];
}

/** The file's name in the repository's directory of secrets, and the variable with its path. */
export const HOOK_SETTINGS_FILE = 'hook.json';
export const HOOK_SETTINGS = 'BOTTLE_GIT_HOOK_SETTINGS';
const PROXY_LOGIN_FILE = 'proxy-login';

/** Seconds without a byte after which a transfer is given up; a busy upstream says something every few seconds. */
const SILENCE_SECONDS = 300;

export function hookSettings(
  { upstream, auth, branches, allowForce, allowDelete }: GitRepoConfig,
  proxy?: UpstreamProxy,
): HookSettings {
  const { username = '', password = '' } = proxy?.login ?? {};
  const secrets = [
    ...(auth?.kind === 'token' ? echoesOf(oneLine(auth.user), oneLine(auth.token)) : []),
    ...(password === '' ? [] : echoesOf(oneLine(username), oneLine(password))),
  ];
  return { upstream, secrets, branches, allowForce, allowDelete };
}

/** Name -> content of all that belongs into the repository's directory of secrets. */
export function secretFiles(config: GitRepoConfig, proxy?: UpstreamProxy): Record<string, string> {
  const files: Record<string, string> = { [HOOK_SETTINGS_FILE]: JSON.stringify(hookSettings(config, proxy)) };
  if (proxy?.login) files[PROXY_LOGIN_FILE] = credentialText(proxy.login.username, proxy.login.password);
  if (config.ca !== null) files['ca.pem'] = config.ca;
  return { ...files, ...credentialFiles(config.auth) };
}

function credentialFiles(auth: GitAuth | null): Record<string, string> {
  if (auth === null) return {};
  if (auth.kind === 'token') return { credential: credentialText(auth.user, auth.token) };
  // ssh takes no key without a line end.
  return { key: `${auth.key.trimEnd()}\n`, known_hosts: `${auth.knownHosts.trimEnd()}\n` };
}

/** All of the environment in which git works on the repository: settings are here, none in the repository itself. */
export function gitEnvironment(root: string, config: GitRepoConfig, proxy?: UpstreamProxy): Record<string, string> {
  const at = layout(root);
  const secretFile = (file: string) => path.join(at.secrets, config.name, file);
  const options: [key: string, value: string][] = [
    ['safe.directory', path.join(at.repositories, `${config.name}.git`)],
    ['core.hooksPath', at.hooks],
    ['http.receivepack', 'true'],
    ['receive.advertisePushOptions', 'false'],
    ['receive.fsckObjects', 'true'], // not for what we fetch: old upstreams have faults that nobody can mend
    ['receive.denyDeleteCurrent', 'ignore'], // what upstream has agreed to must not fail here
    ['gc.autoDetach', 'false'], // nothing goes on behind our back
    ['http.lowSpeedLimit', '1'],
    ['http.lowSpeedTime', String(SILENCE_SECONDS)],
  ];
  if (config.ca !== null) options.push(['http.sslCAInfo', secretFile('ca.pem')]);
  if (config.auth?.kind === 'ssh-key') options.push(['core.sshCommand', sshCommand(secretFile)]);
  if (config.auth?.kind === 'token') {
    // For this origin alone: a redirect to another one finds no credential.
    options.push([`credential.${new URL(config.upstream).origin}.helper`, readingHelper(secretFile('credential'))]);
  }
  if (proxy !== undefined) options.push(...proxyOptions(config.upstream, proxy, secretFile(PROXY_LOGIN_FILE)));
  return {
    PATH: process.env['PATH'] ?? '',
    HOME: at.home,
    LANG: 'C.UTF-8',
    GIT_PROJECT_ROOT: at.repositories,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: 'https:ssh',
    [HOOK_SETTINGS]: secretFile(HOOK_SETTINGS_FILE),
    GIT_CONFIG_COUNT: String(options.length),
    ...Object.fromEntries(options.map(([key], index) => [`GIT_CONFIG_KEY_${index}`, key])),
    ...Object.fromEntries(options.map(([, value], index) => [`GIT_CONFIG_VALUE_${index}`, value])),
  };
}

/** As git-credential(1) reads it, line by line. */
const credentialText = (user: string, password: string): string =>
  `username=${oneLine(user)}\npassword=${oneLine(password)}\n`;

/**
 * git asks for the login of a proxy as for that of an upstream, once the address has a name in it and no password: so that one
 * is in no environment and no command line. What is reached directly is decided here, since a list would be read otherwise by libcurl.
 */
function proxyOptions(upstream: string, proxy: UpstreamProxy, loginFile: string): [key: string, value: string][] {
  const { hostname } = new URL(upstream);
  if (goesDirectly(proxy, canonicalHost(hostname) ?? hostname)) return [];
  const url = new URL(proxyUrl(proxy));
  if (proxy.login === null) return [['http.proxy', url.href]];
  const origin = `${url.protocol}//${url.host}`;
  url.username = encodeURIComponent(proxy.login.username);
  return [
    ['http.proxy', url.href],
    // At once: asked for without a login first, many a proxy ends the connection.
    ['http.proxyAuthMethod', 'basic'],
    [`credential.${origin}.helper`, readingHelper(loginFile)],
  ];
}

/** It only reads: git would erase a refused one. */
const readingHelper = (file: string): string => `!f() { [ "$1" != get ] || cat ${shellWord(file)}; }; f`;

function sshCommand(secretFile: (file: string) => string): string {
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'StrictHostKeyChecking=yes', 'ConnectTimeout=30'];
  options.push('ServerAliveInterval=30', `UserKnownHostsFile="${secretFile('known_hosts')}"`);
  const args = ['-F', 'none', '-i', secretFile('key'), ...options.flatMap((option) => ['-o', option])];
  return ['ssh', ...args.map(shellWord)].join(' ');
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, '');
}
