/** The proxy that a person's environment names, where config.yaml names none: nothing that a bottle would go by. */
const VARIABLES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];

/** What to say of it, and the line that mends it; undefined where there is none. */
export function unusedProxy(env: NodeJS.ProcessEnv): { note: string; line: string } | undefined {
  const name = VARIABLES.find((each) => env[each]);
  if (name === undefined) return undefined;
  const note = `${name} is set here, and bottles do not go out by it unless config.yaml says so`;
  return { note, line: lineOf(env[name] ?? '', env['NO_PROXY'] || env['no_proxy'] || '') };
}

function lineOf(value: string, noProxy: string): string {
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (url === null || !/^https?:$/.test(url.protocol)) return 'network: {proxy: "http://HOST:PORT"}';
  const address = `"http://${url.host}"`;
  const direct = noProxy
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '' && !/^(localhost|127\.|::1|\*)/.test(entry));
  // Never the login itself: it is a secret, and a reference to one is what may stand there.
  const login = url.username === '' ? '' : ', username: NAME, password: env:VARIABLE';
  const list = direct.length === 0 ? '' : `, no_proxy: [${direct.map((entry) => JSON.stringify(entry)).join(', ')}]`;
  return `network: {proxy: ${login + list === '' ? address : `{url: ${address}${login}${list}}`}}`;
}
