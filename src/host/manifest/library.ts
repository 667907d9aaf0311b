/**
 * The files of BOTTLE_HOME and of a repository: which agents there are, which file is meant, and what it makes together
 * with all it names. A repository may ship agents, never bottles: who may use a credential is decided by where a file lies.
 */
import { access, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { BottleError } from '../../core/errors.ts';
import { innerPlans } from '../../core/inner-plans.ts';
import { type AgentManifest, agentSchema } from '../../core/manifest/agent-schema.ts';
import { type AgentKeys, agentKeys } from '../../core/manifest/agent-settings.ts';
import { type BottleManifest, bottleSchema } from '../../core/manifest/bottle-schema.ts';
import { MANIFEST_NAME } from '../../core/manifest/fields.ts';
import { pathText } from '../../core/manifest/key-path.ts';
import { type AgentNote, unreachedServers } from '../../core/manifest/mcp-servers.ts';
import {
  above,
  beside,
  clashes,
  EMPTY_LAYER,
  type Layer,
  layerOf,
  merged,
  type Written,
  withAgent,
} from '../../core/manifest/merge.ts';
import { hostsPastRoutes, notesOn } from '../../core/manifest/notes.ts';
import { didYouMean, inOrder, type Problem, suggestion } from '../../core/manifest/problems.ts';
import { PROVIDERS } from '../../core/providers/providers.ts';
import { routeIdOf } from '../../core/route-id.ts';
import type { Settings } from '../settings.ts';
import { type ManifestFile, readManifestFile } from './front-matter.ts';
import { manifestError } from './manifest-error.ts';
import { originIn, parseAs } from './parse.ts';

/** Folders of a working folder that may hold agents: ours, and the original's. */
const PROJECT_FOLDERS = ['.bottle', '.bot-bottle'];
const DEEPEST_EXTENDS = 20;

export interface ManifestRequest {
  settings: Pick<Settings, 'home'>;
  /** Stem of a file in an `agents/`. */
  agent: string;
  /** Stems of files in `bottles/`, in place of the one that the agent names; the later wins. */
  bottles?: readonly string[] | undefined;
  /** Absolute path of the person's working folder, where agents are looked for too. */
  folder?: string | undefined;
}

/** A file that was found to be right. */
export interface SourceFile {
  name: string;
  file: string;
}

export interface ResolvedManifest {
  agent: SourceFile & { manifest: AgentManifest; prompt: string };
  /** Every bottle file it is made of, those that are extended first. */
  bottles: SourceFile[];
  layer: Layer;
  notes: Problem[];
}

/** All that is known of an agent's files: what they say together when nothing is wrong with them. */
export interface Inspection {
  file: string;
  /** Errors, and what is read but not followed. */
  problems: Problem[];
  manifest: ResolvedManifest | undefined;
}

/**
 * Reads an agent and every bottle file concerned.
 * @throws BottleError `AGENT_NOT_FOUND`, `BOTTLE_FILE_NOT_FOUND` for a bottle file named on the command line
 */
export async function inspectManifest(request: ManifestRequest): Promise<Inspection> {
  const found = await findAgent(request);
  const problems: Problem[] = [];
  const agent = parseAs('agent', agentSchema, found.file, found);
  if (!agent.ok) problems.push(...agent.problems);
  if (agent.ok && found.place === 'project') problems.push(...untrusted(found, agent.written.value));

  const reader = new BottleReader(request.settings, problems);
  const chosen = request.bottles ?? [];
  for (const name of chosen) await assertBottleFile(request.settings, name);
  // Of a broken file too: all that is wrong should be said at once.
  const named = agent.ok
    ? agent.written.value
    : agentSchema.pick({ bottle: true }).safeParse(bottleKeyOf(found.value)).data;
  const own = chosen.length === 0 ? named?.bottle : undefined;
  const written = { value: undefined, origin: originIn(found.file, found) };
  const from = own === undefined ? null : { written, path: ['bottle'] };
  const bottle = await reader.together(own === undefined ? chosen : [own], from);
  const keys = agent.ok ? agentKeys(agent.written.value, bottle.provider?.value.template ?? 'claude') : undefined;
  problems.push(...placed('error', found, keys?.problems ?? []));
  if (problems.length > 0 || !agent.ok || keys === undefined)
    return { file: found.file, problems: inOrder(problems), manifest: undefined };
  const manifest: ResolvedManifest = {
    agent: { name: request.agent, file: found.file, manifest: agent.written.value, prompt: found.body },
    bottles: reader.sources,
    layer: withAgent(bottle, agent.written),
    notes: inOrder([
      ...reader.notes,
      ...placed('note', found, [...keys.notes, ...unreached(bottle, keys)]),
      ...hostsPastRoutes(bottle).map(({ path: at, origin, message }): Problem => {
        return { severity: 'note', ...origin, key: pathText(at), message };
      }),
    ]),
  };
  return { file: found.file, problems: manifest.notes, manifest };
}

/** What was found in an agent file, at its place there. */
const placed = (severity: Problem['severity'], file: ManifestFile, found: readonly AgentNote[]): Problem[] =>
  found.map(({ path: at, message }) => {
    return { severity, file: file.file, position: file.position(at, 'key'), key: pathText(at), message };
  });

/** A server that the plan's way out does not lead to: the agent would only find that it fails. */
function unreached(bottle: Layer, { settings }: AgentKeys): AgentNote[] {
  const { pipelock, egress } = innerPlans(merged(bottle), (file) => file);
  const routes = (egress?.routes ?? []).map(({ id }) => id);
  return unreachedServers(settings, pipelock.allow, routes).map(({ name, message }) => {
    return { path: ['mcpServers', name], message };
  });
}

/**
 * Everything that the files say together.
 * @throws BottleError `MANIFEST_INVALID` with every problem of every file concerned, and what {@link inspectManifest} throws
 */
export async function resolveManifest(request: ManifestRequest): Promise<ResolvedManifest> {
  const { problems, manifest } = await inspectManifest(request);
  if (manifest === undefined)
    throw manifestError(problems, `see what is right and wrong: bottle check ${request.agent}`);
  return manifest;
}

/** The problems of one bottle file, and of those it extends. */
export async function inspectBottle(settings: Pick<Settings, 'home'>, name: string): Promise<Problem[]> {
  const problems: Problem[] = [];
  const reader = new BottleReader(settings, problems);
  await reader.together([name], null);
  return inOrder([...problems, ...reader.notes]);
}

const bottleKeyOf = (value: unknown): object => ({ bottle: (value as AgentManifest | undefined)?.bottle });

/** Where an agent file lies, by precedence. */
type AgentFile = ManifestFile & { place: 'home' | 'project' };

/** A person's own come first: a repository must not put its agent in the place of one that is trusted. */
async function findAgent({ settings, agent, folder }: ManifestRequest): Promise<AgentFile> {
  if (!MANIFEST_NAME.test(agent)) {
    throw new BottleError('AGENT_NOT_FOUND', `"${agent.slice(0, 60)}" is not an agent's name`, {
      hint: 'lower-case letters, digits and dashes, a letter first',
    });
  }
  for (const { directory, place } of agentFolders(settings, folder)) {
    const file = path.join(directory, `${agent}.md`);
    const found = await readManifestFile(file);
    if (found === undefined) continue;
    if (place === 'project') await assertInside(file, folder as string);
    return { ...found, place };
  }
  const file = path.join(settings.home, 'agents', `${agent}.md`);
  const others = (await agentFiles(settings, folder)).map(({ name }) => name);
  const listed =
    others.length > 0
      ? `agents here: ${others.join(', ')}`
      : `bottle init writes a first one; or write ${file}: a prompt, with YAML front matter if you like`;
  throw new BottleError('AGENT_NOT_FOUND', `there is no agent ${agent}: ${file} is missing`, {
    hint: didYouMean(agent, others) ?? listed,
  });
}

/** A link in a repository could make a file of the host the prompt of its agent. */
async function assertInside(file: string, folder: string): Promise<void> {
  const [real, root] = await Promise.all([realpath(file), realpath(folder)]);
  const relative = path.relative(root, real);
  if (relative !== '..' && !relative.startsWith(`..${path.sep}`)) return;
  throw manifestError([
    { severity: 'error', file, position: null, key: '', message: 'is a link that leads out of the working folder' },
  ]);
}

/** What an agent file of a repository may not do: take from the host or its operator, or have something built there. */
function untrusted(file: AgentFile, agent: AgentManifest): Problem[] {
  const taken = Object.entries(agent.env ?? {}).filter(([, value]) => /^(\$\{|\?)/.test(value));
  const paths: PropertyKey[][] = [
    ...taken.map(([name]) => ['env', name]),
    ...(agent.image === undefined ? [] : [['image']]),
  ];
  return paths.map((at) => ({
    severity: 'error',
    file: file.file,
    position: file.position(at, 'key'),
    key: pathText(at),
    message: `belongs in ${at[0] === 'env' ? 'a bottle file' : 'an agent or bottle file'} of BOTTLE_HOME: this file came with a repository`,
  }));
}

const takenRoutes = (bottle: Layer): Map<string, string> => {
  const { route } = PROVIDERS[bottle.provider?.value.template ?? 'claude'];
  return new Map([[route, "the model's route (agent_provider)"]]);
};

/** Reads each bottle file once, and what it extends. */
class BottleReader {
  readonly sources: SourceFile[] = [];
  readonly notes: Problem[] = [];
  readonly #settings: Pick<Settings, 'home'>;
  readonly #problems: Problem[];
  readonly #layers = new Map<string, Layer>();

  constructor(settings: Pick<Settings, 'home'>, problems: Problem[]) {
    this.#settings = settings;
    this.#problems = problems;
  }

  /** Bottles beside each other, with what they extend. */
  async together(
    names: readonly string[],
    from: { written: Written<unknown>; path: PropertyKey[] } | null,
  ): Promise<Layer> {
    const layers: Layer[] = [];
    for (const name of names) layers.push(await this.layer(name, from, []));
    const layer = layers.reduce(beside, EMPTY_LAYER);
    this.#problems.push(...clashes(layer, routeIdOf, takenRoutes(layer)));
    return layer;
  }

  /**
   * @param from who names it, for the problem that it is not there; null for the command line
   * @param chain the bottles that extend it, outermost first
   */
  async layer(
    name: string,
    from: { written: Written<unknown>; path: PropertyKey[] } | null,
    chain: readonly string[],
  ): Promise<Layer> {
    const known = this.#layers.get(name);
    if (known !== undefined) return known;
    const complain = (message: string): Layer => {
      const origin = from?.written.origin(from.path, 'value') ?? {
        file: bottleFile(this.#settings, name),
        position: null,
      };
      this.#problems.push({ severity: 'error', ...origin, key: pathText(from?.path ?? []), message });
      return EMPTY_LAYER;
    };
    if (chain.includes(name))
      return complain(`a bottle cannot extend itself: ${[...chain.slice(chain.indexOf(name)), name].join(' -> ')}`);
    if (chain.length > DEEPEST_EXTENDS) return complain(`more than ${DEEPEST_EXTENDS} bottles extend each other`);
    const file = bottleFile(this.#settings, name);
    const found = await readManifestFile(file);
    if (found === undefined) {
      const others = await stems(path.dirname(file));
      return complain(
        `there is no bottle file ${file}${suggestion(
          name,
          others.filter((other) => other !== chain.at(-1)),
        )}`,
      );
    }
    const parsed = parseAs('bottle', bottleSchema, file, found);
    const layer = parsed.ok ? await this.#onParents(name, parsed.written, chain) : EMPTY_LAYER;
    if (!parsed.ok) {
      this.#problems.push(...parsed.problems);
      // Everything at once: what it extends may be broken too.
      const extended = bottleSchema
        .pick({ extends: true })
        .safeParse({ extends: (found.value as BottleManifest | undefined)?.extends });
      const origin = originIn(file, found);
      if (extended.success) await this.#onParents(name, { value: extended.data, origin }, chain);
    } else {
      this.sources.push({ name, file });
      this.notes.push(
        ...notesOn(parsed.written.value).map(({ path: at, message }): Problem => {
          return { severity: 'note', ...parsed.written.origin(at), key: pathText(at), message };
        }),
      );
    }
    this.#layers.set(name, layer);
    return layer;
  }

  async #onParents(name: string, written: Written<BottleManifest>, chain: readonly string[]): Promise<Layer> {
    const { extends: parents = [] } = written.value;
    const names = typeof parents === 'string' ? [parents] : parents;
    const layers: Layer[] = [];
    for (const [at, parent] of names.entries()) {
      const place = typeof parents === 'string' ? ['extends'] : ['extends', at];
      layers.push(await this.layer(parent, { written, path: place }, [...chain, name]));
    }
    return above(layers.reduce(beside, EMPTY_LAYER), layerOf(written));
  }
}

export const bottleFile = (settings: Pick<Settings, 'home'>, name: string): string =>
  path.join(settings.home, 'bottles', `${name}.md`);

async function assertBottleFile(settings: Pick<Settings, 'home'>, name: string): Promise<void> {
  const others = await stems(path.join(settings.home, 'bottles'));
  if (MANIFEST_NAME.test(name) && others.includes(name)) return;
  const listed = others.length > 0 ? `bottle files here: ${others.join(', ')}` : undefined;
  const hint = didYouMean(name, others) ?? listed;
  throw new BottleError('BOTTLE_FILE_NOT_FOUND', `there is no bottle file ${bottleFile(settings, name.slice(0, 60))}`, {
    hint,
  });
}

/** Of a working folder. BOTTLE_HOME itself may be one of the home folder's, and is no repository's. */
const projectFolders = (settings: Pick<Settings, 'home'>, folder: string): string[] =>
  PROJECT_FOLDERS.map((name) => path.join(folder, name)).filter((project) => project !== settings.home);

function agentFolders(
  settings: Pick<Settings, 'home'>,
  folder: string | undefined,
): { directory: string; place: 'home' | 'project' }[] {
  const own = { directory: path.join(settings.home, 'agents'), place: 'home' as const };
  if (folder === undefined) return [own];
  return [
    own,
    ...projectFolders(settings, folder).map((project) => ({
      directory: path.join(project, 'agents'),
      place: 'project' as const,
    })),
  ];
}

/** Every agent that can be launched from here, each name once, as it would be found. */
export async function agentFiles(settings: Pick<Settings, 'home'>, folder?: string): Promise<SourceFile[]> {
  const found = new Map<string, SourceFile>();
  for (const { directory } of agentFolders(settings, folder)) {
    for (const name of await stems(directory)) {
      if (!found.has(name)) found.set(name, { name, file: path.join(directory, `${name}.md`) });
    }
  }
  return [...found.values()].sort((one, other) => one.name.localeCompare(other.name));
}

export async function bottleFiles(settings: Pick<Settings, 'home'>): Promise<SourceFile[]> {
  const names = await stems(path.join(settings.home, 'bottles'));
  return names.map((name) => ({ name, file: bottleFile(settings, name) }));
}

/** The one file of the original's first days, with all bottles and agents in it. */
const OLDEST_FILES = ['claude-bottle.json', 'bot-bottle.json'];

/**
 * Notes on files that nobody reads: Markdown files with a name that no agent or bottle can have (`_template.md` apart),
 * bottles in a repository, and what the oldest versions of the original were written in.
 */
export async function strayFiles(settings: Pick<Settings, 'home'>, folder: string): Promise<Problem[]> {
  const note = (file: string, message: string): Problem => ({
    severity: 'note',
    file,
    position: null,
    key: '',
    message,
  });
  const misnamed = await Promise.all(
    ['agents', 'bottles'].map(async (kind) => {
      const directory = path.join(settings.home, kind);
      const files = await readdir(directory).catch(() => []);
      const odd = files.filter(
        (file) => file.endsWith('.md') && !/^[_.]/.test(file) && !MANIFEST_NAME.test(file.slice(0, -3)),
      );
      return odd.map((file) =>
        note(
          path.join(directory, file),
          'is not read: a name is lower-case letters, digits and dashes, a letter first',
        ),
      );
    }),
  );
  const theirs = await Promise.all(
    projectFolders(settings, folder).map(async (project) => {
      const names = await stems(path.join(project, 'bottles'));
      const message = 'is not read: bottles are those of BOTTLE_HOME only, since they name credentials';
      return names.map((name) => note(path.join(project, 'bottles', `${name}.md`), message));
    }),
  );
  const oldest = [...new Set([path.dirname(settings.home), folder])].flatMap((place) =>
    OLDEST_FILES.map((name) => path.join(place, name)),
  );
  const found = await Promise.all(
    oldest.map(async (file) => {
      const there = await access(file).then(
        () => true,
        () => false,
      );
      return there ? [note(file, 'is not read: write a file for each agent and bottle (bottle init shows how)')] : [];
    }),
  );
  return [...misnamed, ...theirs, ...found].flat();
}

async function stems(directory: string): Promise<string[]> {
  const files = await readdir(directory).catch(() => []);
  return files
    .filter((file) => file.endsWith('.md'))
    .map((file) => file.slice(0, -'.md'.length))
    .filter((name) => MANIFEST_NAME.test(name))
    .sort();
}
