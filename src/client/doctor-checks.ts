/** What `bottle doctor` looks at: each check reads, and changes nothing. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { proxyUrl } from '../core/network-proxy.ts';
import { overlaps } from '../core/subnet.ts';
import { type BundleProgram, findProgram, PROGRAM_HINTS } from '../host/bundle-programs.ts';
import { readConfig } from '../host/config-file.ts';
import { fullState, isFull, isLow, roomAt, roomText } from '../host/disk.ts';
import { connectDocker, engine } from '../host/docker.ts';
import { dockerEndpoint, endpointText } from '../host/docker-endpoint.ts';
import { engineFacts } from '../host/engine-facts.ts';
import { assertAnswers } from '../host/engine-pulse.ts';
import { engineName, triedText, unsupported, wasTried } from '../host/engine-support.ts';
import { expandHome } from '../host/expand-home.ts';
import { strandedHost } from '../host/host-pin.ts';
import { USUAL_KINDS } from '../host/image-tags.ts';
import { imageTags, listImages } from '../host/images.ts';
import { findLost } from '../host/lost.ts';
import { agentFiles, inspectManifest } from '../host/manifest/library.ts';
import type { Settings } from '../host/settings.ts';
import { stateOwners } from '../host/state-owner.ts';
import { clusterOwner } from '../host/temporal-connection.ts';
import { temporalTarget } from '../host/temporal-target.ts';
import { findTool, TOOLS } from '../host/tools.ts';
import { tryWayOut } from '../host/way-out.ts';
import { smolvm, smolvmBoot } from './doctor-smolvm.ts';
import { LOST_HINT } from './render/lost-text.ts';
import { unusedProxy } from './render/proxy-variables.ts';
import { NO_PIPELOCK } from './render/scanner.ts';
import { viewOf } from './report-error.ts';
import { openSession } from './session.ts';
import { differenceText, RESTART_HINT } from './worker-match.ts';
import { localWorkerServes, readWorkerRecord } from './worker-presence.ts';

export interface Check {
  name: string;
  state: 'ok' | 'warn' | 'fail';
  /** What was found where. */
  found: string;
  /** What to do about it. */
  hint?: string;
}

type Finding = Omit<Check, 'name'>;

/**
 * All checks, in the order in which one leans on another.
 * @param boot present: tries as well whether a machine of smolvm boots, until it aborts
 */
export async function checks(settings: Settings, boot?: AbortSignal): Promise<Check[]> {
  // Asked once for all of them: one that stands still would keep each waiting for ever.
  const answering = (async () => assertAnswers(connectDocker()))();
  answering.catch(() => undefined);
  const ofEngine = (look: () => Promise<Finding>) => async (): Promise<Finding> => {
    await answering;
    return look();
  };
  const all: [string, () => Promise<Finding>][] = [
    ['Node', async () => ({ state: 'ok', found: `${process.version}, ${process.execPath}` })],
    ['Docker Engine', ofEngine(dockerEngine)],
    ["Docker's disk", ofEngine(dockerDisk)],
    ['images', ofEngine(images)],
    ['pipelock', () => program('pipelock', NO_PIPELOCK)],
    ['gitleaks', () => program('gitleaks', 'no push gate can be run: it scans what is pushed')],
    ['subnet pool', ofEngine(() => subnetPool(settings))],
    ['way out', ofEngine(() => wayOut(settings))],
    ['smolvm', () => smolvm(settings)],
    ['Temporal CLI', () => temporalCli(settings)],
    ['Temporal server', () => temporalServer(settings)],
    ['host', async () => hostName(settings)],
    ['worker', () => worker(settings)],
    ['BOTTLE_HOME', () => bottleHome(settings)],
    ['BOTTLE_STATE', async () => bottleState(settings)],
    ['bottles', () => bottlesHere(settings, answering)],
    ...(boot === undefined ? [] : [['machine boots', () => smolvmBoot(boot)] as [string, () => Promise<Finding>]]),
  ];
  return Promise.all(all.map(async ([name, look]) => ({ name, ...(await look().catch(asFinding)) })));
}

/** A check that could not even look failed, for the reason it gives. */
function asFinding(error: unknown): Finding {
  const { message, hint } = viewOf(error);
  return { state: 'fail', found: message, ...(hint === undefined ? {} : { hint }) };
}

async function dockerEngine(): Promise<Finding> {
  const facts = await engine('ask for its version', () => engineFacts(connectDocker()));
  const { apiVersion, platform, cgroupVersion, limits } = facts;
  const found = `${engineName(facts)}, API ${apiVersion}, ${platform}, cgroup v${cgroupVersion}, at ${endpointText(dockerEndpoint())}`;
  const against = unsupported(facts);
  if (against !== undefined) return { state: 'fail', found: `${found}: ${against.why}`, hint: against.hint };
  if (!wasTried(facts))
    return { state: 'warn', found: `${found}; never tried`, hint: `Docker Engine ${triedText()} were, with root` };
  if (limits.cpus) return { state: 'ok', found };
  const hint = 'delegate the cgroup controller cpu to the Engine; until then a machine may use all processors';
  return { state: 'warn', found: `${found}; it cannot limit processors`, hint };
}

/** Where the Engine keeps images and containers, if that is a disk of this computer. */
async function dockerDisk(): Promise<Finding> {
  const { DockerRootDir: directory } = (await engine('ask for its root', () => connectDocker().info())) as {
    DockerRootDir?: string;
  };
  const local = dockerEndpoint().address.startsWith('unix://') && directory !== undefined && existsSync(directory);
  const room = local ? roomAt(directory) : undefined;
  if (room === undefined) return { state: 'ok', found: 'not on a disk of this computer' };
  const found = `${directory}: ${roomText(room)}`;
  const hint = 'make room on it: bottle gc, docker system df';
  if (isFull(room)) return { state: 'fail', found: `the disk of the Docker Engine is full: ${found}`, hint };
  return isLow(room) ? { state: 'warn', found, hint } : { state: 'ok', found };
}

async function images(): Promise<Finding> {
  const tags = await imageTags();
  const wanted = USUAL_KINDS.map((kind) => [kind, tags[kind]] as const);
  const here = new Set((await engine('list images', () => listImages(connectDocker()))).map(({ tag }) => tag));
  const missing = wanted.filter(([, tag]) => !here.has(tag));
  if (missing.length === 0) return { state: 'ok', found: wanted.map(([, tag]) => tag).join(', ') };
  // Only who runs Codex needs its image.
  if (missing.every(([kind]) => kind === 'codex-full'))
    return { state: 'ok', found: `${wanted.map(([, tag]) => tag).join(', ')} (that of codex not built)` };
  return {
    state: 'fail',
    found: `missing: ${missing.map(([, tag]) => tag).join(', ')}`,
    hint: 'bottle image build',
  };
}

/** A program of the bundle; what its image holds is decided when that is built. */
async function program(name: BundleProgram, without: string): Promise<Finding> {
  const found = await findProgram(name);
  if (found !== undefined) return { state: 'ok', found: `in the bundle, from ${found.path} (${found.source})` };
  return { state: 'warn', found: `not found; ${without}`, hint: PROGRAM_HINTS[name] };
}

async function subnetPool(settings: Settings): Promise<Finding> {
  const { pool } = readConfig(settings).network;
  const networks = await engine('list networks', () => connectDocker().listNetworks());
  const within = networks.filter((network) =>
    (network.IPAM?.Config ?? []).some(({ Subnet }) => Subnet !== undefined && overlaps(pool, Subnet)),
  );
  const total = 2 ** (28 - Number(pool.split('/')[1]));
  const foreign = within.filter(({ Labels }) => Labels?.['bottleworks.bottle'] === undefined);
  const found = `${pool}: ${within.length} of ${total} subnets in use`;
  if (within.length >= total) {
    return { state: 'fail', found, hint: 'take bottles down, or set network.pool in config.yaml' };
  }
  if (foreign.length === 0) return { state: 'ok', found };
  return {
    state: 'warn',
    found: `${found}, some by networks that are not bottle's: ${foreign.map(({ Name }) => Name).join(', ')}`,
    hint: 'bottle goes around them; or set network.pool in config.yaml',
  };
}

const WAY_OUT_MS = 6000;
const MODEL = { host: 'api.anthropic.com', port: 443 };

/** Uplink, proxy and CA, by reaching a model as a bundle would. That nobody is reached may be meant. */
async function wayOut(settings: Settings): Promise<Finding> {
  const { uplink, proxy, ca } = readConfig(settings).network;
  const image = (await imageTags()).bundle;
  const here = (await engine('list images', () => listImages(connectDocker()))).some(({ tag }) => tag === image);
  if (!here)
    return { state: 'warn', found: 'not tried: the image of the bundle is missing', hint: 'bottle image build' };
  const by = `over ${uplink}${proxy === undefined ? '' : `, by the proxy ${proxyUrl(proxy)}`}`;
  const unused = proxy === undefined ? unusedProxy(process.env) : undefined;
  const note = unused === undefined ? '' : `; ${unused.note}`;
  const file = ca === undefined ? null : expandHome(ca);
  const tried = await tryWayOut(connectDocker(), { image, uplink, ...MODEL, ca: file, proxy, timeoutMs: WAY_OUT_MS });
  if (tried.reached) return { state: 'ok', found: `${MODEL.host} is reached ${by}${note}` };
  const hints = {
    certificate: "network.ca in config.yaml names a PEM file with your company's CA",
    connection:
      unused === undefined
        ? 'network.uplink and network.proxy in config.yaml are the way out'
        : `write in config.yaml: ${unused.line}`,
  };
  return { state: 'warn', found: `${tried.why}, ${by}${note}`, hint: hints[tried.what] };
}

async function temporalCli(settings: Settings): Promise<Finding> {
  const tool = await findTool('temporal');
  if (tool !== undefined) return { state: 'ok', found: `${tool.version}, ${tool.path} (${tool.source})` };
  const { kind } = await temporalTarget(settings);
  // Only the embedded server is run with it.
  return { state: kind === 'embedded' ? 'fail' : 'ok', found: 'not found', hint: TOOLS.temporal.hint };
}

async function temporalServer(settings: Settings): Promise<Finding> {
  const target = await temporalTarget(settings);
  try {
    const session = await openSession(settings, target);
    try {
      await clusterOwner(session.client);
    } finally {
      await session.close();
    }
    return { state: 'ok', found: `${target.kind}, ${target.address}, namespace ${target.namespace}` };
  } catch (error) {
    const { message, hint } = viewOf(error);
    // bottle up starts the embedded one by itself.
    if (target.kind === 'embedded')
      return { state: 'warn', found: message, hint: 'bottle up starts it, or: bottle serve --detach' };
    return { state: 'fail', found: message, ...(hint === undefined ? {} : { hint }) };
  }
}

/** A computer's own name may change; what counts is the one that is kept. */
function hostName(settings: Settings): Finding {
  const stranded = strandedHost(settings);
  if (stranded !== undefined)
    return {
      state: 'warn',
      found: `${settings.host}, and the bottles that are here belong to ${stranded}`,
      hint: `unset BOTTLE_HOST (or hosts.name in config.yaml), or: BOTTLE_HOST=${stranded} bottle serve --restart`,
    };
  const now = os.hostname();
  const own = now === settings.host ? '' : `; the computer is called ${now} now`;
  return { state: 'ok', found: `${settings.host}${own}` };
}

async function worker(settings: Settings): Promise<Finding> {
  const target = await temporalTarget(settings);
  if (await localWorkerServes(settings, target)) {
    const record = await readWorkerRecord(settings);
    const detail = record === undefined ? 'starting' : `process ${record.pid}, since ${record.readyAt}`;
    const differs = await differenceText(settings);
    if (differs !== undefined) return { state: 'warn', found: `${detail}; ${differs}`, hint: RESTART_HINT };
    return { state: 'ok', found: `serves ${settings.host}, ${detail}` };
  }
  const hint = target.kind === 'embedded' ? 'bottle up starts it, or: bottle serve --detach' : 'bottle serve --detach';
  return { state: 'warn', found: `none serves ${settings.host}`, hint };
}

async function bottleHome(settings: Settings): Promise<Finding> {
  readConfig(settings);
  readdirSync(settings.home);
  const agents = await agentFiles(settings);
  const names = agents.map(({ name }) => name);
  const broken = await Promise.all(
    names.map(async (agent) => ((await inspectManifest({ settings, agent })).manifest === undefined ? [agent] : [])),
  );
  if (broken.flat().length > 0)
    return {
      state: 'warn',
      found: `${settings.home}, agents with problems: ${broken.flat().join(', ')}`,
      hint: 'bottle check',
    };
  if (names.length > 0) return { state: 'ok', found: `${settings.home}, agents: ${names.join(', ')}` };
  return { state: 'warn', found: `${settings.home}, no agents`, hint: 'bottle init writes a first one' };
}

/** Bottles that go on running, and that no command reaches by the server that is used now. */
async function bottlesHere(settings: Settings, engineAnswers: Promise<void>): Promise<Finding> {
  const owners = await stateOwners(settings);
  if (owners.size === 0) return { state: 'ok', found: 'none here' };
  const session = await openSession(settings, await temporalTarget(settings)).catch(() => undefined);
  if (session === undefined)
    return { state: 'ok', found: `${owners.size} here; whose they are was not asked: Temporal does not answer` };
  try {
    const owner = await clusterOwner(session.client);
    await engineAnswers;
    const lost = await findLost({ docker: connectDocker(), owner, settings });
    if (lost.length === 0) return { state: 'ok', found: `${owners.size} here` };
    const names = lost.map(({ id, server }) => `${id} (${server})`).join(', ');
    const belong = lost.length === 1 ? '1 bottle belongs' : `${lost.length} bottles belong`;
    return {
      state: 'warn',
      found: `${belong} to a Temporal server that is not the one used now: ${names}`,
      hint: `bottle gc --dry-run says how each is reached again; ${LOST_HINT}`,
    };
  } finally {
    await session.close();
  }
}

function bottleState(settings: Settings): Finding {
  const directories = [settings.state, ...['run', 'log', 'bottles'].map((name) => path.join(settings.state, name))];
  const open = directories.filter((directory) => {
    const found = statSync(directory, { throwIfNoEntry: false });
    return found !== undefined && (found.mode & 0o077) !== 0;
  });
  if (open.length > 0)
    return { state: 'fail', found: `others can look into ${open.join(', ')}`, hint: `chmod 700 ${open.join(' ')}` };
  const full = fullState(settings);
  if (full !== undefined) return { state: 'fail', found: full.message, hint: full.hint as string };
  const room = roomAt(settings.state);
  if (room !== undefined && isLow(room))
    return { state: 'warn', found: `${settings.state}: ${roomText(room)}`, hint: 'make room on that disk' };
  const there = statSync(settings.state, { throwIfNoEntry: false }) !== undefined;
  return { state: 'ok', found: there ? `${settings.state}, 0700` : `${settings.state}, made when first needed` };
}
