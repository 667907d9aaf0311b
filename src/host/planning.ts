/** From the files a person wrote to the plan of a launch. Reads only; the prompt stays apart since plans are stored in histories. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import process from 'node:process';
import { type BundlePlans, daemonsOf } from '../core/bundle-plans.ts';
import { BottleError } from '../core/errors.ts';
import { innerPlans, modelCredential } from '../core/inner-plans.ts';
import type { LaunchInput } from '../core/launch-input.ts';
import { agentKeys } from '../core/manifest/agent-settings.ts';
import { DEFAULT_IMAGE, type StockImage, stockImage } from '../core/manifest/fields.ts';
import { pathText } from '../core/manifest/key-path.ts';
import { limitsOf, resourcesOf, variables } from '../core/manifest/manifest-plan.ts';
import { merged, type Origin, placeText } from '../core/manifest/merge.ts';
import { loginNote } from '../core/manifest/notes.ts';
import type { Problem } from '../core/manifest/problems.ts';
import type { Plan } from '../core/plan.ts';
import { PROVIDERS } from '../core/providers/providers.ts';
import { smolmachineImage } from '../core/smolmachine.ts';
import type { Driver } from '../core/status.ts';
import { type Config, readConfig } from './config-file.ts';
import { contextDigest, customImageTag } from './custom-image.ts';
import { defaultLink } from './default-link.ts';
import { expandHome } from './expand-home.ts';
import { guestKind } from './image-tags.ts';
import { imageScanner, imageTags } from './images.ts';
import { type ResolvedManifest, resolveManifest } from './manifest/library.ts';
import { manifestError } from './manifest/manifest-error.ts';
import { networkCaDigest } from './network-ca.ts';
import type { Settings } from './settings.ts';
import { skillFolders, skillsDigest } from './skills.ts';
import { smolmachineDigest } from './smolmachine.ts';

export interface PlanRequest {
  settings: Settings;
  /** What was asked for at launch; the driver wins over the manifest's and config.yaml's. */
  launch: LaunchInput;
  env?: NodeJS.ProcessEnv;
}

export interface Planned {
  plan: Plan;
  prompt: string;
  manifest: ResolvedManifest;
}

/**
 * The plan for an agent on this host, and its prompt.
 * @throws BottleError `AGENT_NOT_FOUND`, `BOTTLE_FILE_NOT_FOUND`, `MANIFEST_INVALID`, `IMAGE_MISSING`
 */
export async function makePlan(request: PlanRequest): Promise<Planned> {
  const { agent, bottles, cwd } = request.launch;
  // Before the manifest: a wrong config.yaml is nobody's manifest's fault, and is told first.
  const config = readConfig(request.settings);
  return planFrom(await resolveManifest({ settings: request.settings, agent, bottles, folder: cwd }), config, request);
}

/** The plan that a manifest makes which was read already. @throws BottleError `MANIFEST_INVALID`, `IMAGE_MISSING` */
export async function planFrom(
  manifest: ResolvedManifest,
  config: Config,
  { settings, launch, env = process.env }: PlanRequest,
): Promise<Planned> {
  const bottle = merged(manifest.layer);
  const template = bottle.agent_provider?.template ?? 'claude';
  const provider = PROVIDERS[template];
  const bundle = inNetwork(innerPlans(bottle, expandHome, config.network.ca ?? null), config, settings);
  const tags = await imageTags();
  const driver = chosenDriver(manifest, config, launch);
  const image = await guestImage(manifest, driver, (stock) => tags[guestKind(template, stock)]);
  const scanner = await imageScanner();
  const { prompt } = manifest.agent;
  const keys = agentKeys(manifest.agent.manifest, template);
  const skills = [...new Set(manifest.agent.manifest.skills ?? [])];
  const plan: Plan = {
    agent: launch.agent,
    driver: driver.name,
    ...(driver.name === 'docker' ? {} : { link: config.network.link ?? defaultLink(process.platform, env) }),
    sources: { agent: manifest.agent.file, bottles: manifest.bottles.map(({ file }) => file) },
    images: { guest: image.tag, bundle: tags.bundle },
    stock: image.stock,
    dockerfile: image.dockerfile,
    pool: config.network.pool,
    uplink: config.network.uplink,
    front: true,
    daemons: daemonsOf(bundle),
    scanner,
    bundle,
    provider: { template, credential: modelCredential(bottle)?.credential ?? null },
    agentSettings: keys.settings,
    git: { user: { ...bottle['git-gate']?.user } as Plan['git']['user'] },
    ...variables(bottle.env),
    resources: resourcesOf(bottle.resources, config.resources),
    limits: limitsOf(bottle.limits),
    prompt: { empty: prompt === '', digest: digest(prompt) },
    message: launch.prompt ?? keys.message,
    workspace:
      launch.copyCwd === undefined || launch.cwd === undefined
        ? null
        : { folder: launch.cwd, gitignore: launch.copyCwd === 'unignored' },
    skills,
    skillsDigest: await skillsDigest(skillFolders(settings), skills),
    guest: {
      skillsDirectory:
        skillsDirectory(bottle.env?.['BOTTLE_GUEST_SKILLS_DIR'] ?? env['BOTTLE_GUEST_SKILLS_DIR']) ??
        provider.skillsDirectory,
    },
  };
  const login = loginNote(manifest.layer, provider);
  const notes = login === undefined ? [] : [noteOf(login, manifest.agent.file)];
  return { plan, prompt, manifest: { ...manifest, notes: [...manifest.notes, ...notes] } };
}

/** What is in `network.ca` is part of the plan: a machine and a bundle that trust the old file have to be told. */
function inNetwork(bundle: BundlePlans, { network: { proxy } }: Config, settings: Settings): BundlePlans {
  return {
    ...bundle,
    ...(bundle.ca === null ? {} : { caDigest: networkCaDigest(bundle.ca, settings) }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

const noteOf = (
  { path: at, origin, message }: NonNullable<ReturnType<typeof loginNote>>,
  agentFile: string,
): Problem => {
  return { severity: 'note', ...(origin ?? { file: agentFile, position: null }), key: pathText(at), message };
};

interface ChosenDriver {
  name: Driver;
  /** Who chose it, in words. */
  from: string;
}

function chosenDriver({ layer }: ResolvedManifest, config: Config, launch: LaunchInput): ChosenDriver {
  if (launch.driver !== undefined) return { name: launch.driver, from: '--driver' };
  if (layer.driver !== undefined) return { name: layer.driver.value, from: placeText(layer.driver.origin) };
  if (config.driver !== undefined) return { name: config.driver, from: 'config.yaml' };
  return { name: 'docker', from: 'default' };
}

interface GuestImage {
  tag: string;
  dockerfile: Plan['dockerfile'];
  stock: NonNullable<Plan['stock']> | null;
}

/**
 * The person's own image, or ours. A path in a manifest is relative to the file it stands in.
 * @param tagOf tags of ours, with the agent's program
 */
async function guestImage(
  { layer }: ResolvedManifest,
  driver: ChosenDriver,
  tagOf: (stock: StockImage) => string,
): Promise<GuestImage> {
  const ours = (stock: StockImage): GuestImage => ({ tag: tagOf(stock), dockerfile: null, stock });
  const legacy = layer.provider?.value.dockerfile;
  const chosen =
    layer.image ??
    (legacy === undefined || layer.provider === undefined
      ? undefined
      : { value: { dockerfile: legacy }, origin: layer.provider.origin });
  if (chosen === undefined) return ours(DEFAULT_IMAGE);
  const { value, origin } = chosen;
  if (typeof value === 'string') {
    const stock = stockImage(value);
    return stock === undefined ? { tag: value, dockerfile: null, stock: null } : ours(stock);
  }
  const at = (file: string): string => path.resolve(path.dirname(origin.file), expandHome(file));
  if ('smolmachine' in value) {
    if (driver.name !== 'smolvm') throw needsSmolvm(origin, driver);
    const file = at(value.smolmachine);
    return { tag: smolmachineImage({ file, digest: await smolmachineDigest(file) }), dockerfile: null, stock: null };
  }
  const file = at(value.dockerfile);
  const digest = await contextDigest(file);
  const base = ours(DEFAULT_IMAGE);
  return { ...base, tag: customImageTag(digest, base.tag), dockerfile: { file, digest } };
}

function needsSmolvm(origin: Origin, { name, from }: ChosenDriver): BottleError {
  const message = `only driver smolvm makes a machine of it, and the driver is ${name} (${from})`;
  return manifestError(
    [{ severity: 'error', ...origin, key: 'image.smolmachine', message }],
    'write driver: smolvm beside it, or launch with --driver smolvm',
  );
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

function skillsDirectory(override: string | undefined): string | undefined {
  if (!override) return undefined;
  const directory = path.posix.normalize(override).replace(/\/+$/, '');
  if (path.posix.isAbsolute(override) && directory !== '') return directory;
  throw new BottleError(
    'MANIFEST_INVALID',
    `BOTTLE_GUEST_SKILLS_DIR: expected an absolute path in the machine, got "${override.slice(0, 100)}"`,
  );
}
