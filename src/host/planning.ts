/** From the files a person wrote to the plan of a launch. Reads only; the prompt stays apart since plans are stored in histories. */
import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { z } from 'zod';
import { daemonsOf } from '../core/bundle-plans.ts';
import { BottleError } from '../core/errors.ts';
import { innerPlans } from '../core/inner-plans.ts';
import {
  type AgentManifest,
  agentSchema,
  type BottleManifest,
  bottleSchema,
  MANIFEST_NAME,
  manifestProblems,
} from '../core/manifest.ts';
import { GUEST, type Plan } from '../core/plan.ts';
import type { Driver } from '../core/status.ts';
import { type Config, readConfig } from './config-file.ts';
import { imageScanner, imageTags } from './images.ts';
import { type ManifestFile, readManifestFile } from './manifest-file.ts';
import type { Settings } from './settings.ts';

export interface PlanRequest {
  settings: Settings;
  /** Stem of a file in `agents/`. */
  agent: string;
  /** Wins over the manifest's and config.yaml's. */
  driver?: Driver | undefined;
  env?: NodeJS.ProcessEnv;
}

const DEFAULT_RESOURCES = { cpus: 2, memoryMiB: 4096, pids: 1024 };

/**
 * The plan for an agent on this host, and its prompt.
 * @throws BottleError `AGENT_NOT_FOUND`, `BOTTLE_FILE_NOT_FOUND`, `MANIFEST_INVALID`
 */
export async function makePlan(request: PlanRequest): Promise<{ plan: Plan; prompt: string }> {
  const { settings, env = process.env } = request;
  const config = readConfig(settings);
  const agentFile = await agentManifest(settings, request.agent);
  const agent = parse(agentFile, agentSchema);
  const bottleFile = await bottleManifest(settings, agentFile, agent);
  const bottle = bottleFile === undefined ? bottleSchema.parse({}) : parse(bottleFile, bottleSchema);
  const images = await imageTags();
  const variables = { ...bottle.env, ...agent.env };
  const bundle = innerPlans(bottle, expandHome, config.network.ca ?? null);
  const plan: Plan = {
    agent: request.agent,
    driver: request.driver ?? agent.driver ?? bottle.driver ?? config.driver ?? 'docker',
    sources: { agent: agentFile.file, bottle: bottleFile?.file ?? null },
    images: { guest: images.guest, bundle: images.bundle },
    pool: config.network.pool,
    uplink: config.network.uplink,
    daemons: daemonsOf(bundle),
    scanner: await imageScanner(),
    bundle,
    provider: { template: 'claude', credential: modelCredential(bottle) },
    git: { user: defined({ ...bottle['git-gate'].user, ...defined(agent['git-gate'].user) }) },
    env: variables,
    resources: resourcesOf(agent, bottle, config),
    prompt: { empty: agentFile.body === '' },
    skills: [...new Set(agent.skills)],
    guest: { skillsDirectory: skillsDirectory(variables['BOTTLE_GUEST_SKILLS_DIR'] ?? env['BOTTLE_GUEST_SKILLS_DIR']) },
  };
  return { plan, prompt: agentFile.body };
}

/** Names of all agents that have a file, for lists and suggestions. */
export async function agentNames(settings: Pick<Settings, 'home'>): Promise<string[]> {
  const files = await readdir(path.join(settings.home, 'agents')).catch(() => []);
  return files
    .filter((file) => file.endsWith('.md'))
    .map((file) => file.slice(0, -'.md'.length))
    .filter((name) => MANIFEST_NAME.test(name))
    .sort();
}

async function agentManifest(settings: Settings, agent: string): Promise<ManifestFile> {
  if (!MANIFEST_NAME.test(agent)) {
    throw new BottleError('AGENT_NOT_FOUND', `"${agent.slice(0, 60)}" is not an agent's name`, {
      hint: 'lower-case letters, digits and dashes, a letter first',
    });
  }
  const file = path.join(settings.home, 'agents', `${agent}.md`);
  const found = await readManifestFile(file);
  if (found !== undefined) return found;
  const others = await agentNames(settings);
  throw new BottleError('AGENT_NOT_FOUND', `there is no agent ${agent}: ${file} is missing`, {
    hint:
      others.length > 0
        ? `agents here: ${others.join(', ')}`
        : `write ${file}: a prompt, with YAML front matter if you like`,
  });
}

async function bottleManifest(
  settings: Settings,
  from: ManifestFile,
  agent: AgentManifest,
): Promise<ManifestFile | undefined> {
  if (agent.bottle === undefined) return undefined;
  const file = path.join(settings.home, 'bottles', `${agent.bottle}.md`);
  const found = await readManifestFile(file);
  if (found !== undefined) return found;
  throw new BottleError('BOTTLE_FILE_NOT_FOUND', `${from.file}: bottle: there is no bottle file ${file}`, {
    hint: `write ${file}, or name another bottle`,
  });
}

function parse<Schema extends z.ZodObject>({ file, frontMatter }: ManifestFile, schema: Schema): z.output<Schema> {
  const result = schema.safeParse(frontMatter);
  if (result.success) return result.data;
  const problems = manifestProblems(result.error, Object.keys(schema.shape));
  const text = problems.map(({ key, expected }) => (key === '' ? expected : `${key}: ${expected}`)).join('; ');
  throw new BottleError('MANIFEST_INVALID', `${file}: ${text}`);
}

function resourcesOf(agent: AgentManifest, bottle: BottleManifest, config: Config): Plan['resources'] {
  // A schema's `.partial()` types absent keys as undefined, which must not erase a default.
  const layers: Partial<Record<keyof Plan['resources'], number | undefined>>[] = [
    config.resources,
    bottle.resources,
    agent.resources,
  ];
  const first = (key: keyof Plan['resources']): number =>
    layers.findLast((layer) => layer[key] !== undefined)?.[key] ?? DEFAULT_RESOURCES[key];
  return { cpus: first('cpus'), memoryMiB: first('memoryMiB'), pids: first('pids') };
}

function modelCredential({ agent_provider: provider }: BottleManifest): Plan['provider']['credential'] {
  if (provider?.auth_token !== undefined) return 'auth_token';
  return provider?.api_key === undefined ? null : 'api_key';
}

/** JSON has no `undefined`, and a layer that leaves a key out must not erase it. */
function defined<Values extends object>(values: Values): Plan['git']['user'] {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

const expandHome = (file: string): string => (file.startsWith('~/') ? path.join(os.homedir(), file.slice(2)) : file);

function skillsDirectory(override: string | undefined): string {
  if (!override) return GUEST.skillsDirectory;
  const directory = path.posix.normalize(override).replace(/\/+$/, '');
  if (path.posix.isAbsolute(override) && directory !== '') return directory;
  throw new BottleError(
    'MANIFEST_INVALID',
    `BOTTLE_GUEST_SKILLS_DIR: expected an absolute path in the machine, got "${override.slice(0, 100)}"`,
  );
}
