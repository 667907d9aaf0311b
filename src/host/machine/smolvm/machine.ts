/** Machines as microVMs with a kernel of their own, by the smolvm program. */
import { existsSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { BottleError } from '../../../core/errors.ts';
import { isBottleId, LABEL, machineName } from '../../../core/names.ts';
import type { BottleRef } from '../../../core/step-io.ts';
import { assertOurs, type DockerHost, isWanted, objectLabels } from '../../docker.ts';
import type { Settings } from '../../settings.ts';
import { archiveOf } from '../archive.ts';
import type { MachineDriver, MachineSpec } from '../driver.ts';
import { unpack } from '../unpack.ts';
import { callSmolvm, type Failure, type Smolvm, type SmolvmProgram } from './cli.ts';
import { smolvmExec } from './exec.ts';
import { programFailed, startFailed } from './failures.ts';
import { type ImageSource, imageSource } from './image.ts';
import { bootedFile, machineLock, startSlots, withOneOf } from './locks.ts';
import { assertConfinable } from './platform.ts';
import { isStartable, type MachineRecord, readRecord, readRecords, statusOf } from './records.ts';
import { type Report, removeMachine, removeRemains, removeSeeds, settle, stopMachine } from './removal.ts';
import { machineStateDirectory, machineStatePath } from './state-directory.ts';
import { assertVersion } from './version.ts';

/** Whose machines, made from the images of which Engine, kept where. */
export interface SmolvmHost extends DockerHost {
  readonly settings: Pick<Settings, 'state' | 'cache'>;
}

export interface SmolvmOptions {
  /** Where the program is; asked until there is one, and again when it is gone. */
  find: () => Promise<SmolvmProgram | undefined>;
  /** Told what had to be ended or removed by force. */
  report?: Report;
  /** How many machines may boot at once on this host. */
  starts?: number;
  platform?: NodeJS.Platform;
}

export interface SmolvmDriver extends MachineDriver {
  /** @throws BottleError `DRIVER_UNAVAILABLE` when no machine could be made on this host */
  assertAvailable(): Promise<void>;
  /** @param signal breaks the start off, and stops what it has begun */
  start(bottle: BottleRef, signal?: AbortSignal): Promise<void>;
  /** Bottles of this owner that have a machine, whether or not anybody still wants it. */
  bottles(): Promise<string[]>;
}

const STEP = 'machine.create';
const CREATE_MS = 10 * 60_000;
/** A first start unpacks the image in the guest, for which smolvm itself allows any time as long as it goes on. */
const START_MS = 15 * 60_000;
const STOP_SECONDS = 5;
const STARTS = 2;
/** GiB, and no more than is written: what the image and the agent fill. */
const STORAGE_GIB = 20;
/** Made the same by every version that makes the same; in the hash of what a machine is made from. */
const LAYOUT = 1;

export function smolvmDriver(host: SmolvmHost, options: SmolvmOptions): SmolvmDriver {
  const { settings } = host;
  const { find, report = toStandardError, starts = STARTS, platform = process.platform } = options;

  let program: SmolvmProgram | undefined;

  /** @throws BottleError `DRIVER_UNAVAILABLE` */
  async function smolvm(): Promise<Smolvm> {
    assertConfinable(platform);
    machineStatePath(settings);
    if (program === undefined || !existsSync(program.path)) program = await find();
    if (program === undefined) {
      throw new BottleError('DRIVER_UNAVAILABLE', 'smolvm is not on this host', {
        hint: 'bottle doctor says how to get it; or use --driver docker',
      });
    }
    await assertVersion(program);
    return { program, state: machineStateDirectory(settings) };
  }

  /** @returns undefined when there is none, or it is another installation's */
  async function ownRecord(vm: Smolvm, id: string): Promise<MachineRecord | undefined> {
    const record = await readRecord(vm, machineName(id));
    return record?.labels[LABEL.owner] === host.owner ? record : undefined;
  }

  /** @throws BottleError `MACHINE_NOT_RUNNING` when there is none, `NAME_TAKEN` when it is another installation's */
  async function existing(vm: Smolvm, id: string): Promise<MachineRecord> {
    const name = machineName(id);
    const record = await readRecord(vm, name);
    if (record === undefined) throw notRunning(name, 'is not there');
    assertOurs(host, 'machine', name, record.labels);
    return record;
  }

  /** @throws BottleError `MACHINE_NOT_RUNNING`, `NAME_TAKEN` */
  async function assertRunning(vm: Smolvm, id: string): Promise<void> {
    const record = await existing(vm, id);
    if (record.state !== 'running') throw notRunning(record.name, 'is not running');
  }

  /** Alone with a machine, and with no call on it under way. */
  const alone = <T>(vm: Smolvm, id: string, act: (name: string) => Promise<T>, signal?: AbortSignal): Promise<T> => {
    const name = machineName(id);
    const locked = async (): Promise<T> => {
      await settle(vm, name, report);
      return act(name);
    };
    return withOneOf([machineLock(settings, name)], locked, signal);
  };

  async function create(vm: Smolvm, bottle: BottleRef, spec: MachineSpec): Promise<void> {
    const source = await imageSource(host, spec.image);
    const labels = objectLabels(host, bottle, STEP, madeFrom(spec, source));
    await alone(vm, bottle.id, async (name) => {
      const found = await readRecord(vm, name);
      if (found !== undefined) assertOurs(host, 'machine', name, found.labels);
      if (found !== undefined && isWanted(found.labels, labels) && isStartable(found)) return;
      await (found === undefined ? removeRemains : removeMachine)(vm, name, report);
      const args = createArgs(name, spec, source.option, await source.file(), labels);
      const { failure } = await callSmolvm(vm, ['machine', 'create'], args, { timeoutMs: CREATE_MS });
      if (failure !== undefined) throw programFailed(`create the machine ${name}`, failure);
    });
  }

  /** A start that has failed leaves its process behind where smolvm was killed, and only a stop finds that. */
  async function start(vm: Smolvm, name: string, signal: AbortSignal | undefined): Promise<void> {
    let failure: Failure | undefined;
    try {
      const call = { timeoutMs: START_MS, signal };
      ({ failure } = await callSmolvm(vm, ['machine', 'start'], ['--name', name], call));
    } catch (error) {
      await stopMachine(vm, name, 0, report);
      throw error;
    }
    if (failure !== undefined) {
      await stopMachine(vm, name, 0, report).catch((error: Error) => report(error.message));
      throw await startFailed(name, failure, existsSync(bootedFile(settings)));
    }
    writeFileSync(bootedFile(settings), '', { mode: 0o600 });
  }

  return {
    assertAvailable: async () => void (await smolvm()),
    async create(bottle, spec) {
      await create(await smolvm(), bottle, spec);
    },
    async start({ id }, signal) {
      const vm = await smolvm();
      if ((await existing(vm, id)).state === 'running') return;
      // The slot first: who waits for one must not keep a machine from being stopped.
      const inTurn = (): Promise<void> =>
        alone(
          vm,
          id,
          async (name) => {
            if ((await existing(vm, id)).state !== 'running') await start(vm, name, signal);
          },
          signal,
        );
      await withOneOf(startSlots(settings, starts), inTurn, signal);
    },
    async stop(id) {
      const vm = await smolvm();
      await alone(vm, id, async (name) => {
        if ((await ownRecord(vm, id)) !== undefined) await stopMachine(vm, name, STOP_SECONDS, report);
      });
    },
    async delete(id) {
      const vm = await smolvm();
      await alone(vm, id, async (name) => {
        const record = await readRecord(vm, name);
        if (record !== undefined && record.labels[LABEL.owner] !== host.owner) return;
        await (record === undefined ? removeRemains : removeMachine)(vm, name, report);
        await removeSeeds(vm, report);
      });
    },
    async status(id) {
      const record = await ownRecord(await smolvm(), id);
      return record === undefined ? 'absent' : statusOf(record);
    },
    async exec(id, request) {
      const vm = await smolvm();
      await assertRunning(vm, id);
      return smolvmExec(vm, machineName(id), request, () => assertRunning(vm, id));
    },
    async putFiles(id, files) {
      await unpack(this, id, { argv: UNPACK, user: 'root', stdin: archiveOf(files) });
    },
    async bottles() {
      const records = await readRecords(await smolvm());
      return records.flatMap(({ labels }) => {
        const id = labels[LABEL.bottle];
        return labels[LABEL.owner] === host.owner && id !== undefined && isBottleId(id) ? [id] : [];
      });
    },
  };
}

/** Owners and modes as they are in the archive, whatever is there already. */
const UNPACK = ['tar', '-xpf', '-', '-C', '/'];

/** What another of makes another machine. */
function madeFrom({ network, env, resources }: MachineSpec, { option, id }: ImageSource): unknown {
  return { layout: LAYOUT, option, image: id, bundleIp: network.bundleIp, env, resources, storage: STORAGE_GIB };
}

/** @param file what {@link ImageSource.file} gave for `option` */
export function createArgs(
  name: string,
  { network, env, resources }: MachineSpec,
  option: ImageSource['option'],
  file: string,
  labels: Record<string, string>,
): string[] {
  const repeated = (flag: string, pairs: Record<string, string>): string[] =>
    Object.entries(pairs).flatMap(([key, value]) => [flag, `${key}=${value}`]);
  return [
    ...['--name', name],
    ...[option, file],
    ...['--cpus', String(Math.ceil(resources.cpus))],
    ...['--mem', String(resources.memoryMiB)],
    ...['--storage', String(STORAGE_GIB)],
    ...['--allow-cidr', `${network.bundleIp}/32`],
    // As a host it is no more than the same address again, but with a list of hosts smolvm's resolver, which no list of
    // addresses holds back, answers for these hosts alone: otherwise whatever is asked of it reaches the internet.
    ...['--allow-host', network.bundleIp],
    ...repeated('--label', labels),
    ...repeated('-e', env),
    // Instead of whatever the image would run, which may end; tini reaps what the agent leaves behind.
    ...['--', 'tini', '--', 'sleep', 'infinity'],
  ];
}

function notRunning(name: string, what: string): BottleError {
  return new BottleError('MACHINE_NOT_RUNNING', `the machine ${name} ${what}`, { hint: 'bottle status shows why' });
}

const toStandardError: Report = (line) => void process.stderr.write(`${line}\n`);
