/** Whether the Engine that has this host's machines answers: asked by whoever shows a bottle that would need it. */
import http from 'node:http';
import type { ErrorView } from '../core/errors.ts';
import { type DockerEndpoint, dockerEndpoint, endpointText } from '../host/docker-endpoint.ts';
import type { Settings } from '../host/settings.ts';
import { readWorkerRecord } from './worker-presence.ts';

/** An Engine answers this within milliseconds, also when it is busy. */
const PATIENCE_MS = 2000;

/**
 * Asked in plain HTTP at its socket, since a client of it takes longer to load than the answer. One elsewhere is asked by
 * those who work with it.
 * @returns why it does not answer; undefined while it does
 */
export async function engineSilence(settings: Settings): Promise<ErrorView | undefined> {
  // Where the worker makes machines they are, whatever Engine this shell would choose.
  const endpoint = (await readWorkerRecord(settings))?.engine ?? dockerEndpoint();
  const socketPath = /^unix:\/\/(.+)$/.exec(endpoint.address)?.[1];
  const why = socketPath === undefined ? undefined : await silence(socketPath);
  return why === undefined ? undefined : viewOfSilence(endpoint, why);
}

/** @returns what the connection failed with; undefined for any answer */
function silence(socketPath: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const request = http.get({ socketPath, path: '/_ping', timeout: PATIENCE_MS, agent: false }, (response) => {
    response.resume();
    resolve(undefined);
  });
  request.once('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  request.once('error', ({ code = 'ECONNRESET' }: NodeJS.ErrnoException) => resolve(code));
  return promise;
}

async function viewOfSilence(endpoint: DockerEndpoint, code: string): Promise<ErrorView> {
  const { hintFor } = await import('../host/docker-connection.ts');
  return {
    code: 'DOCKER_UNREACHABLE',
    message: `the Docker Engine at ${endpointText(endpoint)} does not answer (${code})`,
    hint: `${hintFor(endpoint, code)}; until then nothing is reached, watched or mended`,
  };
}
