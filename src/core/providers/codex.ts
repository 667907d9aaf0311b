/** Codex CLI, as measured with 0.169.0: run in its image against a fake of the Responses API. */
import { stringify } from 'smol-toml';
import { GUEST } from '../plan.ts';
import type { McpServer } from './agent-settings.ts';
import type { AgentProvider, ProviderContext } from './provider.ts';

/** What it holds in place of its credential; egress replaces it on the way. It looks like no key, as the scanner wants. */
export const CODEX_PLACEHOLDER = 'placeholder-injected-by-egress';

const HOME = `${GUEST.home}/.codex`;
/** Sent as `Authorization: Bearer`; where a provider names a variable, Codex starts only when that is set. */
const KEY_VARIABLE = 'OPENAI_API_KEY';

export const codex: AgentProvider = {
  template: 'codex',
  route: 'openai',
  modelUrl: 'https://api.openai.com',
  // With a key, the first, and the last for its list of models; with a ChatGPT login, the other two.
  hosts: ['api.openai.com', 'auth.openai.com', 'chatgpt.com'],
  // The browser of its plain login would have to reach a port of the machine.
  login: '`bottle exec -it <id> -- codex login --device-auth`',
  // Where its documentation has a person's own; `~/.codex/skills` is read too, and holds those it comes with.
  skillsDirectory: `${GUEST.home}/.agents/skills`,
  auth: (_credential, secret) => ({ scheme: 'Bearer', secret }),
  // It has no quiet switches among its variables: all are in its configuration.
  defaults: {},
  environment: ({ modelUrl, caBundle }) => ({
    ...(modelUrl === null ? {} : { [KEY_VARIABLE]: CODEX_PLACEHOLDER }),
    // Adds to the system's own store, and holds also where a manifest sets SSL_CERT_FILE, which replaces that.
    ...(caBundle === null ? {} : { CODEX_CA_CERTIFICATE: caBundle }),
  }),
  files: (context) => [
    { path: `${HOME}/config.toml`, mode: 0o600, text: stringify(config(context)) },
    { path: `${HOME}/rules/bottle.rules`, mode: 0o600, text: RULES },
  ],
  // The prompt needs no argument: in its image, `~/.codex/AGENTS.md` is a link to it, and adds to its instructions.
  argv: (_context, args) => ['codex', ...unattended(args)],
};

/** Nothing to be asked, nothing to be reached that an allow-list would only refuse. */
function config({ modelUrl, superviseUrl, settings = {} }: ProviderContext): Record<string, unknown> {
  const { model, effort, mcpServers = {} } = settings;
  const servers = {
    ...Object.fromEntries(Object.entries(mcpServers).map(([name, server]) => [name, codexServer(server)])),
    ...(superviseUrl === null ? {} : { supervise: { url: superviseUrl } }),
  };
  return {
    ...(model === undefined ? {} : { model }),
    ...(effort === undefined ? {} : { model_reasoning_effort: effort }),
    ...(modelUrl === null ? {} : { model_provider: 'egress', model_providers: { egress: modelProvider(modelUrl) } }),
    // The machine is the sandbox.
    approval_policy: 'never',
    sandbox_mode: 'danger-full-access',
    check_for_update_on_startup: false,
    // The metrics that it sends to ab.chatgpt.com.
    analytics: { enabled: false },
    features: {
      // Fetches a collection of plugins from github.com at every start.
      plugins: false,
      // A server that outlives the terminal; it would not start without `ps`.
      daemon_auto_start: false,
    },
    // Asked about even where it may do all.
    projects: { [GUEST.workspace]: { trust_level: 'trusted' } },
    ...(Object.keys(servers).length === 0 ? {} : { mcp_servers: servers }),
  };
}

const VARIABLE = /^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;
const BEARER = /^Bearer \$\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/** Codex puts no variables into texts, but has keys of their own for headers and variables that are one. */
function codexServer({ url, headers, command, args, env }: McpServer): Record<string, unknown> {
  const texts = (values: unknown): [string, string][] =>
    Object.entries((values ?? {}) as Record<string, unknown>).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
  const some = (key: string, entries: [string, string][]): Record<string, unknown> =>
    entries.length === 0 ? {} : { [key]: Object.fromEntries(entries) };
  const variable = (text: string): string | undefined => VARIABLE.exec(text)?.[1];
  if (typeof command === 'string') {
    const own = texts(env);
    const passed = own.filter(([name, value]) => variable(value) === name).map(([name]) => name);
    return {
      command,
      ...(Array.isArray(args) ? { args: args.map(String) } : {}),
      ...some(
        'env',
        own.filter(([name]) => !passed.includes(name)),
      ),
      ...(passed.length === 0 ? {} : { env_vars: passed }),
    };
  }
  const all = texts(headers);
  const bearer = all.find(([name, value]) => name.toLowerCase() === 'authorization' && BEARER.test(value));
  const rest = all.filter((each) => each !== bearer);
  return {
    url,
    ...(bearer === undefined ? {} : { bearer_token_env_var: BEARER.exec(bearer[1])?.[1] }),
    ...some(
      'http_headers',
      rest.filter(([, value]) => variable(value) === undefined),
    ),
    ...some(
      'env_http_headers',
      rest.flatMap(([name, value]) => {
        const from = variable(value);
        return from === undefined ? [] : [[name, from] as [string, string]];
      }),
    ),
  };
}

/**
 * A provider of its own needs no login. The built-in one with another address would first try WebSockets, for which it
 * asks the proxy for a tunnel to egress: six seconds of refusals at each start. One that is called `OpenAI` would get
 * that vendor's search tool, which opens any page there is from the vendor's side: a way round the bottle's allow-list.
 */
const modelProvider = (modelUrl: string): Record<string, string> => ({
  name: 'egress',
  base_url: `${modelUrl}/v1`,
  env_key: KEY_VARIABLE,
  wire_api: 'responses',
});

/** Where it may not ask, it refuses `rm -f` and whatever shell line has that in it, unless a rule allows the program. */
const RULES = `prefix_rule(pattern = [["/bin/bash", "bash", "/bin/sh", "sh", "env", "rm"]], decision = "allow")\n`;

const SKIP_GIT_CHECK = '--skip-git-repo-check';

/**
 * `codex exec` refuses to run in a folder that is no git repository, trusted or not, and no setting tells it otherwise.
 * What follows the two dashes is a message, even one like `review`, which would be a command.
 */
function unattended(args: readonly string[]): readonly string[] {
  const [command, ...rest] = args;
  if (command === undefined) return ['--'];
  if (command !== 'exec' && command !== 'e') return args;
  const skip = rest.includes(SKIP_GIT_CHECK) ? [] : [SKIP_GIT_CHECK];
  return [command, ...skip, ...(rest.length === 0 ? ['--'] : rest)];
}
