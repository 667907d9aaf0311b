/** How programs of this host go out (npm, pip, apt, and what runs in a build): by `network.proxy`, where config.yaml has one. */
import process from 'node:process';
import { isAddress } from '../core/allow-list.ts';
import { type ProxyPlan, proxyUrlWithLogin, type UpstreamProxy } from '../core/network-proxy.ts';
import { readConfig } from './config-file.ts';
import { rememberSecret } from './scrub.ts';
import { resolveSecrets } from './secrets.ts';
import { settings as readSettings, type Settings } from './settings.ts';

const NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'] as const;
const LOCAL = ['localhost', '127.0.0.1', '::1'];

/**
 * Variables for such a program, in both spellings: those of the proxy in config.yaml, else what this process has of them.
 * @throws BottleError `SECRET_MISSING` for its password, `MANIFEST_INVALID`
 */
export async function proxyEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  settings: Settings = readSettings(env),
): Promise<Record<string, string>> {
  const { proxy } = readConfig(settings).network;
  if (proxy === undefined) {
    const inherited = NAMES.flatMap((name) => [name, name.toLowerCase()]).map((name) => [name, env[name]]);
    return Object.fromEntries(inherited.filter((pair): pair is [string, string] => Boolean(pair[1])));
  }
  const url = proxyUrlWithLogin(await withPassword(proxy, env));
  // Some take a name for itself alone, and one with a dot for all below it.
  const direct = [...LOCAL, ...proxy.noProxy.flatMap((each) => (isName(each) ? [each, `.${each}`] : [each]))].join(',');
  const values = { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: direct };
  return Object.fromEntries(NAMES.flatMap((name) => [name, name.toLowerCase()].map((each) => [each, values[name]])));
}

/** The proxy of a plan with its password read. @throws BottleError `SECRET_MISSING` */
export async function withPassword(
  { username, password, ...rest }: ProxyPlan,
  env: NodeJS.ProcessEnv = process.env,
): Promise<UpstreamProxy> {
  if (username === null) return { ...rest, login: null };
  const value = password === null ? '' : ((await resolveSecrets([password], { env })).get(password) ?? '');
  // As it stands in an address, which programs like to repeat.
  if (value !== '') rememberSecret(encodeURIComponent(value));
  return { ...rest, login: { username, password: value } };
}

const isName = (entry: string): boolean => !entry.includes('/') && !isAddress(entry);
