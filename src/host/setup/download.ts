/** One file from a release host, checked as it comes. Runs on Node 20. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import http from 'node:http';
import process from 'node:process';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BottleError } from '../../core/errors.ts';
import { proxyEnvironment } from '../host-proxy-environment.ts';

/** Where releases are; `BOTTLE_DOWNLOADS` names a mirror with the same paths. */
const RELEASES = 'https://github.com';
const ANSWER_MS = 20_000;
const DOWNLOAD_MS = 15 * 60_000;
const TEXT_LIMIT = 1024 * 1024;

export const releasesBase = (env: NodeJS.ProcessEnv = process.env): string =>
  (env['BOTTLE_DOWNLOADS'] || RELEASES).replace(/\/+$/, '');

/**
 * A small text, such as a release's list of checksums.
 * @throws BottleError `TOOL_MISSING` that says why it cannot be had
 */
export async function downloadText(url: string, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  return trying(url, async () => {
    const answer = await request(url, ANSWER_MS, env);
    const text = await answer.text();
    if (text.length > TEXT_LIMIT) throw new Error(`is longer than ${TEXT_LIMIT} bytes`);
    return text;
  });
}

/**
 * A file, whole and with the content that was promised, or an error and nothing that anybody would take for it.
 * @param report one line when it begins
 * @throws BottleError `TOOL_MISSING` that says why it cannot be had
 */
export async function downloadFile(
  url: string,
  { file, sha256, report }: { file: string; sha256: string; report: (line: string) => void },
  env: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const hash = createHash('sha256');
  await trying(url, async () => {
    const answer = await request(url, DOWNLOAD_MS, env);
    const size = Number(answer.headers.get('content-length') ?? 0);
    report(`downloading ${url}${size > 0 ? ` (${Math.ceil(size / 1e6)} MB)` : ''}`);
    if (answer.body === null) throw new Error('is empty');
    const hashing = new Transform({
      transform(chunk, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(answer.body as never), hashing, createWriteStream(file));
  });
  if (hash.digest('hex') === sha256) return;
  throw new BottleError('TOOL_MISSING', `${url} is not what its checksum says`, {
    hint: 'try again; if it stays so, do not trust what answers there',
  });
}

async function request(url: string, patience: number, env: NodeJS.ProcessEnv): Promise<Response> {
  useProxy(await proxyEnvironment(env));
  const controller = new AbortController();
  const first = setTimeout(() => controller.abort(new Error(`no answer in ${ANSWER_MS / 1000} s`)), ANSWER_MS);
  const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(patience)]);
  const answer = await fetch(url, { signal }).finally(() => clearTimeout(first));
  if (answer.ok) return answer;
  await answer.body?.cancel();
  throw new Error(`is answered with ${answer.status}`);
}

let used = '{}';
let useNone: (() => void) | undefined;

/** That of config.yaml, else of the environment, for every `fetch` of this process from now on. */
function useProxy(variables: Record<string, string>): void {
  const wanted = JSON.stringify(variables);
  if (wanted === used) return;
  // Only from Node 24.14 on. To go directly would be to ask where nobody answers.
  const { setGlobalProxyFromEnv } = http as { setGlobalProxyFromEnv?: (env: object) => () => void };
  if (setGlobalProxyFromEnv === undefined)
    throw new Error(`goes by a proxy, which Node ${process.version} cannot do (24.14 can)`);
  useNone?.();
  useNone = setGlobalProxyFromEnv(variables);
  used = wanted;
}

async function trying<T>(url: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (BottleError.is(error)) throw error;
    throw new BottleError('TOOL_MISSING', `${url}: ${reasonOf(error)}`, {
      hint: 'BOTTLE_DOWNLOADS names a mirror; network.proxy in config.yaml, or HTTPS_PROXY, a proxy',
      cause: error,
    });
  }
}

/** `fetch` says only that it failed; why stands below. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
  return cause?.code ?? cause?.message ?? message ?? String(error);
}
