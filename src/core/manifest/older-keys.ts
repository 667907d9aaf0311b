/**
 * What earlier versions of the original bot-bottle were written with, and people still have or remember, with what to
 * write instead (its PRDs 0011, 0025, 0026, 0047, 0048, 0053). What could be read as it is, is: see egress-schema.ts.
 */
import { pathText } from './key-path.ts';

export type ManifestKind = 'agent' | 'bottle' | 'config';

const BELONGS_IN_A_BOTTLE = 'belongs in a bottle file, which only BOTTLE_HOME/bottles can hold';
const ROUTES = 'write egress: {routes: [{host, auth: {scheme, token_ref}}]}';
const KEY = 'write key: {provider: static, path: FILE} or key: {provider: token, token_ref: SECRET}';
const REPOS = 'write git-gate: {user: {name, email}, repos: {NAME: {url, key, host_key}}}';

/** Key path, with `*` for any name or index -> what to say. */
const OLDER: Record<ManifestKind, Readonly<Record<string, string>>> = {
  bottle: {
    git: `an older form: ${REPOS}`,
    git_gate: `is spelled git-gate: ${REPOS}`,
    tokens: `an older form: ${ROUTES}`,
    cred_proxy: `an older form: ${ROUTES}`,
    egress_proxy: `an older form: ${ROUTES}`,
    'egress-proxy': `an older form: ${ROUTES}`,
    runtime: 'write driver: docker or driver: smolvm',
    backend: 'write driver: docker or driver: smolvm',
    prompt: 'belongs in the agent file, as the text below its front matter',
    skills: 'belongs in the agent file',
    bottle: 'write extends: NAME',
    name: "a bottle's name is that of its file",
    'egress.allow': 'write allow: [HOST, ...] at the top of the file',
    'egress.allowlist': 'write allow: [HOST, ...] at the top of the file',
    'egress.routes[*].role': 'is reserved in the original, and has no values: leave it out',
    'egress.routes[*].path': `of an older form (cred_proxy): ${ROUTES}`,
    'egress.routes[*].upstream': `of an older form (cred_proxy): ${ROUTES}`,
    'egress.routes[*].auth_scheme': 'write auth: {scheme, token_ref}',
    'egress.routes[*].token_ref': 'write auth: {scheme, token_ref}',
    'egress.routes[*].methods': 'write matches: [{methods: [...]}]',
    'egress.routes[*].paths': 'write matches: [{paths: [{type: prefix, value: /...}]}]',
    'agent_provider.settings': 'is for template pi, which is not here',
    'agent_provider.model': 'is left to the agent: set it in env, or in its own settings',
    'git-gate.repos.*.identity': `an older form: ${KEY}`,
    'git-gate.repos.*.provisioned_key': `an older form: ${KEY}`,
    'git-gate.repos.*.deploy_key': `an older form: ${KEY}`,
    'git-gate.repos.*.token_ref': KEY,
    'git-gate.repos.*.remote': 'write url: URL',
    'git-gate.repos.*.upstream': 'write url: URL',
    'git-gate.repos.*.known_host_key': 'write host_key: "ssh-ed25519 AAAA..."',
  },
  agent: {
    prompt: 'write the prompt as the text below the front matter',
    bottles: 'write bottle: NAME; one that extends several, or bottle up --bottle A --bottle B',
    extends: BELONGS_IN_A_BOTTLE,
    egress: BELONGS_IN_A_BOTTLE,
    allow: BELONGS_IN_A_BOTTLE,
    agent_provider: BELONGS_IN_A_BOTTLE,
    supervise: BELONGS_IN_A_BOTTLE,
    intercept: BELONGS_IN_A_BOTTLE,
    limits: BELONGS_IN_A_BOTTLE,
    git: 'write git-gate: {user: {name, email}}; repositories belong in the bottle file',
    'git-gate.repos': BELONGS_IN_A_BOTTLE,
    remote_control: 'is not here: bottle claude attaches to the agent',
  },
  config: {
    bottles: 'each bottle is a file: bottles/NAME.md',
    agents: 'each agent is a file: agents/NAME.md',
  },
};

/** What to say of a key that nobody knows any more; undefined for one that never was. */
export function olderKey(kind: ManifestKind, path: readonly PropertyKey[]): string | undefined {
  const table = OLDER[kind];
  const found = Object.keys(table).find((pattern) => fits(pattern, path));
  return found === undefined ? undefined : table[found];
}

/** `provider: gitea` makes a deploy key at launch and takes it back at the end; it is the one value of the original that we lack. */
export function olderValue(kind: ManifestKind, path: readonly PropertyKey[], value: unknown): string | undefined {
  if (kind === 'bottle' && fits('git-gate.repos.*.key.provider', path) && value === 'gitea')
    return `provider gitea (a deploy key made at launch) is not here: ${KEY}`;
  const template = kind === 'bottle' && pathText(path) === 'agent_provider.template' && value;
  if (template === 'pi') return 'expected claude or codex: pi is not here';
  return undefined;
}

function fits(pattern: string, path: readonly PropertyKey[]): boolean {
  const wanted = pattern.split(/\.|(?=\[)/);
  return (
    wanted.length === path.length &&
    wanted.every((part, at) => part === '*' || (part === '[*]' ? typeof path[at] === 'number' : part === path[at]))
  );
}
