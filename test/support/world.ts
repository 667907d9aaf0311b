/**
 * The outside world for tests and for the demo, since no internet can be reached: one container that plays the APIs of
 * two vendors of models, a git host, a package registry and an echo (test/fixtures/world), on a network of its own.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { PassThrough, type Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { demultiplex } from '../../src/host/machine/demultiplex.ts';
import { bigFile } from '../fixtures/world/big-file.ts';
import { CONFIG_FILE, CONTROL_PORT, HOSTS, READY_LINE, WORLD_DIR, type WorldConfig } from '../fixtures/world/config.ts';
import type { Recorded } from '../fixtures/world/exchange.ts';
import type { RepositoryName, UpstreamCommit } from '../fixtures/world/repositories.ts';
import { runIn } from './run-in-container.ts';
import { type TestCa, testCa } from './test-ca.ts';

export type { Recorded } from '../fixtures/world/exchange.ts';

/** What the model is to do in one turn of its own. */
export type ModelStep = { run: string } | { call: string; input: Record<string, unknown> };

export interface World {
  readonly network: { readonly id: string; readonly name: string };
  /** Id of the container that plays everybody. */
  readonly container: string;
  /** IPv4 of that container on {@link network}. */
  readonly address: string;
  /** Of the authority that issued every certificate of the world: PEM, and the same as a file. */
  readonly ca: { readonly cert: string; readonly file: string };
  /** The one key that https://model.test takes: of Claude as x-api-key or as a bearer, of Codex as a bearer. */
  readonly modelKey: string;
  /** The one password that https://git.test takes, of any user. */
  readonly gitToken: string;
  readonly pkg: { readonly url: string; readonly file: { url: string; bytes: number; sha256: string } };
  /** Everything that was asked of the world, oldest first. */
  requests(): Promise<Recorded[]>;
  /** The prompt that makes the model do this, one step a turn, and then tell what it was told. */
  script(...steps: ModelStep[]): string;
  /** Full name of each ref of a repository of git.test -> commit. */
  refs(repository: RepositoryName): Promise<Record<string, string>>;
  /** Somebody else's push; the new commit. */
  commit(commit: UpstreamCommit): Promise<string>;
  /** Removes container, network (whoever is still on it is taken off) and CA; a second call does nothing. */
  dispose(): Promise<void>;
}

/** Marks what a world is made of, for its removal. */
export const WORLD_LABEL = 'bottleworks-test.world';

const START_MS = 180_000;

/**
 * Makes a world and waits until every host of it answers.
 * @param options `image`: the guest image, for its Node, git and curl; `label`: value of {@link WORLD_LABEL}, random unless given
 * @throws Error with what the container said when it does not start; nothing is left then
 */
export async function startWorld(options: { docker: Dockerode; image: string; label?: string }): Promise<World> {
  const { docker, image } = options;
  const random = randomBytes(5).toString('hex');
  const labels = { [WORLD_LABEL]: options.label ?? random };
  const name = `bottle-world-${random}`;
  const ca = testCa();
  const dispose = async (): Promise<void> => {
    try {
      await removeWorld(docker, name);
    } finally {
      ca.dispose();
    }
  };
  try {
    const config = newConfig(ca);
    const network = await docker.createNetwork({ Name: name, Driver: 'bridge', Labels: labels });
    const container = await docker.createContainer(containerOptions(name, image, labels));
    await container.putArchive(await filesOf(config), { path: '/' });
    await startUntilReady(container);
    const { NetworkSettings } = await container.inspect();
    const control = (...args: string[]) => askControl(docker, container.id, args);
    return {
      network: { id: network.id, name },
      container: container.id,
      address: NetworkSettings.Networks[name]?.IPAddress ?? '',
      ca: { cert: ca.cert, file: ca.file },
      modelKey: config.modelKey,
      gitToken: config.gitToken,
      pkg: packageFacts(),
      requests: async () => (await control('/requests')) as Recorded[],
      script: (...steps) => steps.map(scriptLine).join('\n'),
      refs: async (repository) => (await control(`/refs?repository=${repository}`)) as Record<string, string>,
      commit: async (commit) => (await control('/commits', '--data-raw', JSON.stringify(commit))) as string,
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Secrets of the shape that scanners know, so that a leaked one would be noticed as a real one is. */
function newConfig(ca: TestCa): WorldConfig {
  return {
    modelKey: `sk-ant-api03-${randomBytes(32).toString('hex')}`,
    gitToken: `ghp_${randomBytes(18).toString('hex')}`,
    certificates: Object.fromEntries(HOSTS.map((host) => [host, ca.issue([host])])) as WorldConfig['certificates'],
  };
}

function containerOptions(
  name: string,
  image: string,
  labels: Record<string, string>,
): Dockerode.ContainerCreateOptions {
  return {
    name,
    Image: image,
    Labels: labels,
    User: 'root',
    WorkingDir: '/',
    Cmd: ['tini', '--', 'node', `${WORLD_DIR}/main.ts`],
    HostConfig: { NetworkMode: name },
    NetworkingConfig: { EndpointsConfig: { [name]: { Aliases: [...HOSTS] } } },
  };
}

async function filesOf(config: WorldConfig): Promise<NodeJS.ReadableStream> {
  const source = fileURLToPath(new URL('../fixtures/world/', import.meta.url));
  const archive = pack();
  for (const file of await readdir(source)) {
    archive.entry({ name: `${WORLD_DIR}/${file}`, mode: 0o644 }, await readFile(source + file));
  }
  archive.entry({ name: `${WORLD_DIR}/package.json`, mode: 0o644 }, '{"type":"module"}');
  archive.entry({ name: CONFIG_FILE, mode: 0o600 }, JSON.stringify(config));
  archive.finalize();
  return archive as unknown as NodeJS.ReadableStream;
}

async function startUntilReady(container: Dockerode.Container): Promise<void> {
  const stream = await container.attach({ stream: true, stdout: true, stderr: true });
  const output = new PassThrough();
  const end = (): void => void output.end();
  demultiplex(stream as unknown as Readable, output, output).then(end, end);
  const timer = setTimeout(() => output.end(`not ready after ${START_MS} ms`), START_MS);
  try {
    await container.start();
    const lines: string[] = [];
    for await (const line of createInterface({ input: output })) {
      if (line === READY_LINE) return;
      lines.push(line);
    }
    throw new Error(`the world did not start:\n${lines.join('\n')}`);
  } finally {
    clearTimeout(timer);
    (stream as unknown as Readable).destroy();
  }
}

async function askControl(docker: Dockerode, container: string, [path, ...args]: string[]): Promise<unknown> {
  const url = `http://127.0.0.1:${CONTROL_PORT}${path}`;
  const { exitCode, stdout, stderr } = await runIn({ docker }, container, [
    'curl',
    '-sS',
    '--fail-with-body',
    ...args,
    url,
  ]);
  if (exitCode !== 0) throw new Error(`the world's control: ${stderr}${stdout}`);
  return JSON.parse(stdout);
}

function packageFacts(): World['pkg'] {
  const file = bigFile();
  const sha256 = createHash('sha256').update(file).digest('hex');
  return { url: 'https://pkg.test', file: { url: 'https://pkg.test/file.bin', bytes: file.length, sha256 } };
}

function scriptLine(step: ModelStep): string {
  return 'run' in step ? `RUN ${step.run}` : `CALL ${step.call} ${JSON.stringify(step.input)}`;
}

async function removeWorld(docker: Dockerode, name: string): Promise<void> {
  await unlessGone(docker.getContainer(name).remove({ force: true, v: true }));
  const network = docker.getNetwork(name);
  const found = (await unlessGone(network.inspect())) as Dockerode.NetworkInspectInfo | undefined;
  for (const Container of Object.keys(found?.Containers ?? {})) {
    await unlessGone(network.disconnect({ Container, Force: true }));
  }
  await unlessGone(network.remove());
}

async function unlessGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}
