// The way out of what is downloaded here: by the proxy of config.yaml where it names one.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { node24Path } from './places.mjs';
import { Refusal } from './refusal.mjs';

const askProxyScript = fileURLToPath(new URL('ask-proxy.mjs', import.meta.url));

/** Variables for a program that downloads. Needs the npm packages, and Node 24 among them. */
export async function proxyVariables() {
  const { stdout } = await promisify(execFile)(node24Path, [askProxyScript]);
  const { variables, error } = JSON.parse(stdout);
  if (error !== undefined) throw new Refusal(error.message, error.hint, error.code);
  return variables;
}
