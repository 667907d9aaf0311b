/** Where Temporal is: Temporal's own standard variables and profile file decide; without an address in them, the embedded server. */
import type { TLSConfig } from '@temporalio/common/lib/internal-non-workflow/index.js';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { BottleError } from '../core/errors.ts';
import { type Settings, uiPortOf } from './settings.ts';

/** What both the client's and the worker's connection take. Holds secrets: never print it. */
export interface TemporalConnectionOptions {
  address: string;
  tls?: TLSConfig | boolean;
  apiKey?: string;
  metadata?: Record<string, string>;
}

export interface TemporalTarget {
  /** `embedded`: the server that `bottle serve` runs; `external`: any other. */
  readonly kind: 'embedded' | 'external';
  /** `host:port` */
  readonly address: string;
  readonly namespace: string;
  /** Not enumerable: printing, spreading or serialising a target never shows a key. */
  readonly connectionOptions: TemporalConnectionOptions;
  /** The UI's address without a path; null when nothing says where it is. */
  readonly uiBase: string | null;
  /** The state directory that the embedded server keeps its database in; absent for any other server. */
  readonly state?: string;
  /** A bottle's page in the Temporal UI, or null. Without a run id, its newest run. */
  uiUrl(id: string, runId?: string): string | null;
  /** The list of workflows in the Temporal UI, filtered by a visibility query; or null. */
  uiListUrl(query?: string): string | null;
}

const DEFAULT_NAMESPACE = 'default';
const CLOUD_UI = 'https://cloud.temporal.io';

/**
 * Where Temporal is for these settings and this environment.
 * Async, since profile file reader and `config.yaml` reader are loaded only here: `bottle --help` must not pay for them.
 * @throws BottleError `USAGE` when Temporal's variables or profile file cannot be used;
 *   `MANIFEST_INVALID` when an external server is named and `config.yaml` is invalid
 */
export async function temporalTarget(
  settings: Settings,
  env: NodeJS.ProcessEnv = process.env,
): Promise<TemporalTarget> {
  const { connectionOptions: standard, namespace } = await standardConfig(env);
  if (!standard.address) {
    // A key or certificate without an address is meant for some other server: the embedded one gets none of it.
    return embeddedTarget(settings, namespace);
  }
  const { host, port } = hostAndPort(standard.address);
  const options: TemporalConnectionOptions = { address: formatAddress(host, port) };
  if (standard.tls !== undefined && standard.tls !== null) options.tls = standard.tls;
  if (standard.apiKey) options.apiKey = standard.apiKey;
  if (standard.metadata) options.metadata = standard.metadata as Record<string, string>;
  const { readConfig } = await import('./config-file.ts');
  return target('external', options, namespace, readConfig(settings).temporal.ui ?? guessUi(host, port));
}

/** The embedded server, whatever the environment says. */
export function embeddedTarget(
  settings: Pick<Settings, 'port' | 'uiPort'> & Partial<Pick<Settings, 'state'>>,
  namespace?: string,
): TemporalTarget {
  const address = `127.0.0.1:${settings.port}`;
  return target('embedded', { address }, namespace, `http://127.0.0.1:${settings.uiPort}`, settings.state);
}

/** A server of which no more than its address is known: without whatever key or certificate is meant for another. */
export const plainTarget = (address: string, namespace: string): TemporalTarget =>
  target('external', { address }, namespace, null);

/** Whether an address is this very computer, so that neither proxies nor compression make sense. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * Splits `host`, `host:port` or `[ipv6]:port`; the port defaults to Temporal's 7233.
 * @throws BottleError `USAGE` when it is none of these
 */
export function hostAndPort(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(address);
  const port = Number(match?.[3] ?? 7233);
  if (match === null || port < 1 || port > 65_535) {
    throw new BottleError('USAGE', `"${address.slice(0, 100)}" is not the address of a Temporal server`, {
      hint: 'TEMPORAL_ADDRESS (or address in the profile) is host:port, without https://',
    });
  }
  return { host: (match[1] ?? match[2]) as string, port };
}

const formatAddress = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

function target(
  kind: TemporalTarget['kind'],
  connectionOptions: TemporalConnectionOptions,
  namespace: string | undefined,
  uiBase: string | null,
  state?: string,
): TemporalTarget {
  const ns = namespace || DEFAULT_NAMESPACE;
  const workflows = uiBase === null ? null : `${uiBase}/namespaces/${encodeURIComponent(ns)}/workflows`;
  const shown = {
    kind,
    address: connectionOptions.address,
    namespace: ns,
    uiBase,
    ...(state === undefined ? {} : { state }),
    uiUrl: (id: string, runId?: string): string | null => {
      if (workflows === null) return null;
      const page = `${workflows}/${encodeURIComponent(id)}`;
      return runId === undefined ? page : `${page}/${encodeURIComponent(runId)}/history`;
    },
    uiListUrl: (query?: string): string | null => {
      if (workflows === null) return null;
      return query === undefined ? workflows : `${workflows}?query=${encodeURIComponent(query)}`;
    },
  };
  return Object.defineProperty(shown, 'connectionOptions', { value: connectionOptions }) as TemporalTarget;
}

/** The UI of a server whose UI nobody named: Temporal Cloud's own, or by the port rule on this computer. */
function guessUi(host: string, port: number): string | null {
  if (/\.(tmprl\.cloud|api\.temporal\.io)$/.test(host)) return CLOUD_UI;
  if (isLoopback(host) && uiPortOf(port) <= 65_535) return `http://${formatAddress(host, uiPortOf(port))}`;
  return null;
}

async function standardConfig(env: NodeJS.ProcessEnv): Promise<ClientConnectConfig> {
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  try {
    return loadClientConnectConfig({ overrideEnvVars: temporalVariables(env) });
  } catch (error) {
    // Only the first line: a TOML error goes on to quote the file, and a key may stand there.
    const reason = (error instanceof Error ? error.message : String(error)).split('\n', 1)[0];
    throw new BottleError('USAGE', `Temporal's connection settings cannot be used: ${reason}`, {
      hint: "check TEMPORAL_PROFILE, TEMPORAL_CONFIG_FILE, the TEMPORAL_TLS_* files and Temporal's profile file",
    });
  }
}

/** An empty variable counts as unset, except TEMPORAL_GRPC_META_*, where empty means "remove this header". */
function temporalVariables(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && (value !== '' || name.startsWith('TEMPORAL_GRPC_META_'))) kept[name] = value;
  }
  return kept;
}
