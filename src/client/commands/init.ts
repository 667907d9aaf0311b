/** `bottle init`: a first agent and its bottle, which work as they are and say in comments what else there is. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { BottleError } from '../../core/errors.ts';
import { MANIFEST_NAME } from '../../core/manifest/fields.ts';
import { readConfig } from '../../host/config-file.ts';
import type { Context } from '../context.ts';
import { unusedProxy } from '../render/proxy-variables.ts';

export const FIRST_NAME = 'assistant';

export async function run({ output, settings }: Context, name: string = FIRST_NAME): Promise<number> {
  if (!MANIFEST_NAME.test(name) || name.length > 40)
    throw new BottleError('USAGE', `"${name.slice(0, 60)}" is not an agent's name`, {
      hint: 'lower-case letters, digits and dashes, a letter first, at most 40',
    });
  const agent = path.join(settings.home, 'agents', `${name}.md`);
  const bottle = path.join(settings.home, 'bottles', `${name}.md`);
  await mkdir(path.join(settings.home, 'skills'), { recursive: true });
  // The bottle first: an agent that names one which is not there would be broken.
  const written = [
    await writeNew(bottle, bottleText(credentialLine(process.env))),
    await writeNew(agent, agentText(name)),
  ];
  const files = [bottle, agent];
  for (const [at, isNew] of written.entries()) output.note(`${isNew ? 'wrote' : 'left as it is'}  ${files[at]}`);
  const { proxy } = readConfig(settings).network;
  const unused = proxy === undefined ? unusedProxy(process.env) : undefined;
  if (unused !== undefined) output.note(`note: ${unused.note}; write in ${settings.home}/config.yaml: ${unused.line}`);
  output.result({ agent: name, files: files.map((file, at) => ({ file, written: written[at] })) }, () =>
    [`next: bottle check ${name}`, `      bottle up ${name}`, `      bottle claude ${name}`].join('\n'),
  );
  return 0;
}

/** Never in the place of what a person has. @returns whether there was nothing */
async function writeNew(file: string, text: string): Promise<boolean> {
  await mkdir(path.dirname(file), { recursive: true });
  try {
    await writeFile(file, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** A credential that is there already is named; without one the agent signs in by itself. */
export function credentialLine(env: NodeJS.ProcessEnv): string {
  if (env['CLAUDE_CODE_OAUTH_TOKEN']) return 'agent_provider: {template: claude, auth_token: CLAUDE_CODE_OAUTH_TOKEN}';
  if (env['ANTHROPIC_API_KEY']) return 'agent_provider: {template: claude, api_key: ANTHROPIC_API_KEY}';
  return '# agent_provider: {template: claude, auth_token: CLAUDE_CODE_OAUTH_TOKEN}';
}

const agentText = (name: string): string => `---
# An agent: what is below the second --- is its prompt. All keys: bottle schema agent
bottle: ${name}            # bottles/${name}.md says what it may reach
# skills: [my-skill]       # folders in skills/ here, or in ~/.claude/skills
# git-gate: {user: {name: My Agent, email: agent@example.com}}
---
You are a careful assistant. Your workspace is the current folder. What you cannot reach, you ask for: the tool
request_egress_route of the MCP server "supervise" asks the operator.
`;

const bottleText = (credential: string): string => `---
# A bottle: what an agent in it may reach, and with which credentials. All keys: bottle schema bottle
# A secret is a reference, never the secret itself: NAME (a variable of yours), file:/path, command:[...], keychain:...

# The model's credential: kept out of the machine, put in on the way. Without it the agent signs in by itself.
${credential}

# Hosts that may be reached without a credential.
allow: []
# allow: [example.com, "*.example.org"]

# Whether the agent may ask you for more: bottle requests, bottle approve, bottle deny.
supervise: true

# An API with a credential that the agent never sees, at http://egress:9099/api.github.com/
# egress:
#   routes:
#     - host: api.github.com
#       auth: {scheme: Bearer, token_ref: GITHUB_TOKEN}
#       matches: [{methods: [GET], paths: [{type: prefix, value: /repos/me/}]}]

# Repositories to clone and push; every push is scanned for secrets first.
# git-gate:
#   repos:
#     app: {url: "https://github.com/me/app.git", key: {provider: token, token_ref: GITHUB_TOKEN}}

# limits: {lifetime: 8h, idle: 1h}
# resources: {cpus: 2, memoryMiB: 4096}
---
The bottle of a first agent.
`;
