/** Every call of the Engine as it should go over the wire: what dockerode makes of one is put right in one place. */
import type Dockerode from 'dockerode';
import { compareVersions } from './engine-facts.ts';

/** The newest version of the API that was tried. A newer Engine speaks it too, so what it changes later breaks nothing. */
export const NEWEST_API = '1.51';

type Call = Parameters<Dockerode['modem']['dial']>[0];
type Answer = Parameters<Dockerode['modem']['dial']>[1];

/** Has `docker` ask for one version of the API, and keep documents out of addresses. */
export function settleCalls(docker: Dockerode): Dockerode {
  const { modem } = docker;
  const dial = modem.dial.bind(modem);
  let version: Promise<string> | undefined;
  const agreed = (): Promise<string> => {
    version ??= agreeOn(
      (call) => new Promise((resolve, reject) => dial(call, (error, said) => (error ? reject(error) : resolve(said)))),
    );
    return version;
  };
  modem.dial = (call: Call, answer: Answer) => {
    if (call.path === VERSION) return dial(call, answer);
    agreed().then(
      (api) =>
        dial({ ...documentApart(call), path: `${api}${call.path}` }, (error, result) => {
          // Another Engine has come up behind the same socket. Whoever asked asks again.
          if (/client version .* is too (new|old)/i.test(error?.message ?? '')) version = undefined;
          answer?.(error, result);
        }),
      (error: Error) => {
        version = undefined;
        answer?.(error, null);
      },
    );
    return undefined;
  };
  return docker;
}

const VERSION = '/version';

/**
 * Ours, unless the Engine is older; an Engine that has left ours behind is asked for the oldest that it still speaks.
 * @returns how addresses begin; empty, which means its newest, where nothing is told or a filter before it refuses to say
 */
async function agreeOn(dial: (call: Call) => Promise<unknown>): Promise<string> {
  const said = (await dial({ path: VERSION, method: 'GET', statusCodes: { 200: true } }).catch((error: unknown) => {
    if ((error as { statusCode?: number }).statusCode === undefined) throw error;
  })) as { ApiVersion?: string; MinAPIVersion?: string } | undefined;
  if (said?.ApiVersion === undefined) return '';
  const oldest = said.MinAPIVersion ?? '1.12';
  if (compareVersions(oldest, NEWEST_API) > 0) return `/v${oldest}`;
  return `/v${compareVersions(said.ApiVersion, NEWEST_API) < 0 ? said.ApiVersion : NEWEST_API}`;
}

/**
 * dockerode sends all options of a POST twice: as the body, and in the address, where whoever logs requests (a proxy
 * before the Engine, a company's socket filter) keeps the environment of a container. The API tells the two apart by their
 * names: what belongs in the address is in lower case (`name`, `platform`, `condition`), what makes up a document begins
 * with a capital (`Env`, `HostConfig`).
 */
export function documentApart(call: Call): Call {
  const { options } = call;
  if (call.method !== 'POST' || options === undefined || options._query !== undefined) return call;
  const entries = Object.entries(options).filter(([name]) => name !== 'abortSignal' && name !== 'authconfig');
  const document = entries.filter(([name]) => /^[A-Z]/.test(name));
  if (document.length === 0) return call;
  const query = entries.filter(([name]) => /^[a-z]/.test(name));
  return { ...call, options: { _query: Object.fromEntries(query), _body: Object.fromEntries(document) } };
}
