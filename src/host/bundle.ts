/** A bottle's sidecar bundle: the container, its two networks, and waiting until its daemons are ready. */
import type Dockerode from 'dockerode';
import type { Delivery } from '../core/bundle-config.ts';
import { daemonsOf } from '../core/bundle-plans.ts';
import { appliedLine, EGRESS_NAME, EXIT_CONFIG, givenLine, parseStatusLine, SECRET_MOUNTS } from '../core/daemons.ts';
import { egressListenHost } from '../core/egress-address.ts';
import { BottleError } from '../core/errors.ts';
import { bundleName, LABEL } from '../core/names.ts';
import type { BundleInput, BundleResult } from '../core/step-io.ts';
import { makeDelivery } from './bundle-delivery.ts';
import { bundlePatience, isFailing } from './bundle-patience.ts';
import { ensureContainer, inspectContainer, removeContainers, startContainer, stopContainer } from './container.ts';
import { writeToContainer } from './container-input.ts';
import { containerLines } from './container-log.ts';
import { type DockerHost, engine, labelFilter, statusOf } from './docker.ts';
import { forgetHanded } from './handed-secrets.ts';
import { keepLog } from './kept-log.ts';
import { beginLoginTrial, forgetLoginTrial } from './login-way-out.ts';
import type { Settings } from './settings.ts';

const STOP_SECONDS = 10;
/** Whoever reads an answer holds up to 25 times as much (pipelock-yaml.ts). */
const MEMORY_MIB = { plain: 512, intercepting: 1024 } as const;
/** What a bundle that has run for days said before does not matter; more than it says while a delivery is on its way. */
const ENOUGH_LINES = 1000;
const LAST_WORDS_MS = 10_000;

/**
 * Ensures the bundle, gives its init what the daemons work from, and waits until each has taken it and is ready. A bundle
 * that runs already is given it too: only the daemons whose part has changed take notice.
 * @param patience how long its daemons may take; as bundle-patience.ts says unless given
 * @throws BottleError `SECRET_MISSING`, `STATE_MISSING`, `UPLINK_MISSING`, `BUNDLE_NOT_READY` with the bundle's last words, and what
 *   ensureContainer throws
 */
export async function ensureBundle(
  host: DockerHost & { settings: Settings },
  input: BundleInput,
  signal: AbortSignal,
  patience?: AbortSignal,
): Promise<BundleResult> {
  const name = bundleName(input.bottle.id);
  const [delivery] = await Promise.all([makeDelivery(host.settings, input, signal), assertUplink(host, input.uplink)]);
  const container = await ensureContainer(host, input.bottle, 'bundle', name, bundleSpec(input));
  // Before the start: a daemon must never run without its way out, and the Engine sets both up in one go.
  await connectUplink(host, container, input.uplink);
  await startContainer(container, name);
  const daemons = await deliver(container, name, delivery, signal, patience);
  const { pipelock } = delivery.config;
  // A program more in the bundle: not while its own are starting.
  beginLoginTrial(container, input, pipelock?.kind === 'allow-list' ? pipelock.proxy : undefined);
  return { container: name, daemons };
}

/**
 * Stops the bundle so that its daemons can finish, keeps what it said (kept-log.ts), and removes it. What is not this owner's
 * is not touched.
 * @param run of this launch only; else of whichever had that id
 */
export async function removeBundle(
  host: DockerHost & { settings: Pick<Settings, 'state'> },
  id: string,
  run?: string,
): Promise<void> {
  const found = await inspectContainer(host, bundleName(id));
  const labels = found?.Config.Labels ?? {};
  const wanted = labels[LABEL.owner] === host.owner && (run === undefined || labels[LABEL.run] === run);
  if (run === undefined || wanted) {
    forgetHanded(id);
    forgetLoginTrial(id);
  }
  if (found !== undefined && wanted) {
    const container = host.docker.getContainer(found.Id);
    if (found.State.Running) await stopContainer(container, STOP_SECONDS);
    const fault = await keepLog(host.settings, id, container);
    if (fault !== undefined) console.warn(`the log of ${id} could not be kept: ${fault}`);
  }
  await removeContainers(host, labelFilter(host, id, { step: 'bundle', run }), STOP_SECONDS);
}

function bundleSpec({ bottle, network, image, plans, scanner }: BundleInput): Dockerode.ContainerCreateOptions {
  return {
    Image: image,
    // Nothing of a plan, and no secret: those go through the standard input, which `docker inspect` does not show.
    Env: [`BOTTLE_DAEMONS=${daemonsOf(plans).join(',')}`, `BOTTLE_SCANNER=${scanner}`],
    OpenStdin: true,
    HostConfig: {
      NetworkMode: network.name,
      CapDrop: ['ALL'],
      // Init gives each daemon a user of its own, and ends them.
      CapAdd: ['SETUID', 'SETGID', 'KILL'],
      SecurityOpt: ['no-new-privileges'],
      Tmpfs: { ...SECRET_MOUNTS },
      PidsLimit: 256,
      Memory:
        (scanner === 'pipelock' && plans.pipelock.intercept ? MEMORY_MIB.intercepting : MEMORY_MIB.plain) * 1024 ** 2,
      NanoCpus: 2e9,
      ExtraHosts: [`${EGRESS_NAME}:${egressListenHost(bottle.runId)}`],
      // It has a foot in two networks and must never be a road between them.
      Sysctls: { 'net.ipv4.ip_forward': '0' },
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '2' } },
    },
    NetworkingConfig: { EndpointsConfig: { [network.name]: { IPAMConfig: { IPv4Address: network.bundleIp } } } },
  };
}

/** Asked for first: the Engine connects what does not run to networks that are not there, and complains at its start. */
async function assertUplink(host: DockerHost, uplink: string): Promise<void> {
  await engine('inspect the uplink', async () => {
    try {
      await host.docker.getNetwork(uplink).inspect();
    } catch (error) {
      if (statusOf(error) !== 404) throw error;
      throw new BottleError('UPLINK_MISSING', `there is no Docker network ${uplink}`, {
        hint: `docker network create ${uplink}, or set network.uplink in config.yaml`,
        cause: error,
      });
    }
  });
}

async function connectUplink(host: DockerHost, container: Dockerode.Container, uplink: string): Promise<void> {
  await engine('connect the bundle to its uplink', async () => {
    try {
      await host.docker.getNetwork(uplink).connect({ Container: container.id });
    } catch (error) {
      const already = statusOf(error) === 403 && /already (exists|attached)/i.test(String((error as Error).message));
      if (!already) throw error;
    }
  });
}

type Daemons = BundleResult['daemons'];

const allReady = (daemons: Daemons): boolean => Object.values(daemons).every((state) => state === 'ready');

/** An Engine may end a log that is followed with its container, before the last lines came. */
async function lastWords(container: Dockerode.Container): Promise<string[]> {
  const words: string[] = [];
  for await (const line of containerLines(container, {
    follow: false,
    tail: ENOUGH_LINES,
    signal: AbortSignal.timeout(LAST_WORDS_MS),
  }))
    if (parseStatusLine(line) === undefined) words.push(line);
  return words;
}

/** Hands a delivery to init, and follows its log until it says that every daemon has taken it. */
async function deliver(
  container: Dockerode.Container,
  name: string,
  { revision, config }: Delivery,
  signal: AbortSignal,
  patience?: AbortSignal,
): Promise<Daemons> {
  const began = Date.now();
  const said: string[] = [];
  let daemons: Daemons = {};
  let given = false;
  let applied = false;
  const own = bundlePatience(() => daemons);
  const lines = containerLines(container, {
    follow: true,
    tail: ENOUGH_LINES,
    signal: AbortSignal.any([signal, patience ?? own.signal]),
  });
  // Init reads it whenever it gets there; if that is never, the log ends without the line that is waited for. It begins
  // with a line end, in case that a killed predecessor stopped in the midst of a line.
  const over = new AbortController();
  const written = writeToContainer(container, `\n${JSON.stringify({ revision, config })}\n`, over.signal);
  written.catch(() => undefined);
  try {
    for await (const line of lines) {
      const states = parseStatusLine(line);
      if (states === undefined) {
        // Its states follow.
        if (line === givenLine(revision)) given = true;
        else if (line === appliedLine(revision)) applied = true;
        else said.push(line);
        continue;
      }
      daemons = states;
      if (applied && allReady(daemons)) return daemons;
    }
  } finally {
    own.end();
    // Whoever has ended, or is given up, reads no more.
    over.abort();
  }
  signal.throwIfAborted();
  await written;
  const { State } = await engine(`inspect container ${name}`, () => container.inspect());
  const waiting = Object.entries(daemons).flatMap(([daemon, state]) =>
    state === 'ready' ? [] : `${daemon} is ${state}`,
  );
  const deaf = State.Running && !given && !isFailing(daemons);
  // An Engine that was killed may give what is started after it a standard input that leads nowhere; another life has another.
  if (deaf) await engine(`end container ${name}`, () => container.kill()).catch(() => undefined);
  const after = `after ${Math.round((Date.now() - began) / 1000)} s ${waiting.join(', ')}`;
  const why = State.Running
    ? `${after}${deaf ? ', and it has not taken what it was given: it is to be started anew' : ''}`
    : `it ended with ${State.ExitCode}${State.OOMKilled ? ', killed for memory' : ''}`;
  const words = State.Running ? said : await lastWords(container).catch(() => said);
  throw new BottleError(
    'BUNDLE_NOT_READY',
    `the bundle's daemons are not ready: ${why}. ${words.slice(-3).join(' | ')}`,
    {
      // Its own complaint about what it was given: the same again cannot help.
      retryable: State.Running || State.ExitCode !== EXIT_CONFIG,
      hint: `docker logs ${name}`,
    },
  );
}
