/** Machines as microVMs with a kernel of their own, by the smolvm program. */
import { existsSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { EGRESS_NAME } from '../../../core/daemons.ts';
import { BottleError } from '../../../core/errors.ts';
import { seenFromMachine } from '../../../core/machine-link.ts';
import { isBottleId, LABEL, machineName } from '../../../core/names.ts';
import type { BottleRef } from '../../../core/step-io.ts';
import { assertOurs, type DockerHost, isWantedOf, objectLabels } from '../../docker.ts';
import { withLock } from '../../file-lock.ts';
import type { Settings } from '../../settings.ts';
import { archiveOf } from '../archive.ts';
import type { MachineDriver, MachineSpec } from '../driver.ts';
import { unpack } from '../unpack.ts';
import { type Answer, callSmolvm, type Failure, type Smolvm, type SmolvmProgram } from './cli.ts';
import { createArgs, madeFrom } from './create-options.ts';
import { smolvmExec } from './exec.ts';
import { programFailed, startFailed } from './failures.ts';
import { imageSource } from './image.ts';
import { bootedFile, createsLock, machineLock, startSlots, withOneOf } from './locks.ts';
import { placing } from './platform.ts';
import { bootProcesses, untilOneIsGone } from './processes.ts';
import { hasItsArchive, pruneArchives } from './prune.ts';
import { isStartable, type MachineRecord, readRecord, readRecords, statusOf } from './records.ts';
import {
  endRelay,
  ensureRelay,
  hasLink,
  IS_LISTENING,
  isLinked,
  linkDirectory,
  makeLink,
  relays,
  removeLink,
} from './relay.ts';
import { type Report, removeMachine, removeRemains, removeSeeds, settle, stopMachine } from './removal.ts';
import { stageArchive } from './staging.ts';
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
  /** Bottles of this owner that have a machine, whether or not anybody still wants it, and of which launch. */
  bottles(): Promise<{ id: string; run: string }[]>;
}

const STEP = 'machine.create';
const CREATE_MS = 10 * 60_000;
/** A first start unpacks the image in the guest, for which smolvm itself allows any time as long as it goes on. */
const START_MS = 15 * 60_000;
const STOP_SECONDS = 5;
const STARTS = 2;
const LISTENING_MS = 20_000;
const LISTENING_POLL_MS = 100;

export function smolvmDriver(host: SmolvmHost, options: SmolvmOptions): SmolvmDriver {
  const { settings } = host;
  const { find, report = toStandardError, starts = STARTS, platform = process.platform } = options;

  let program: SmolvmProgram | undefined;

  /** @throws BottleError `DRIVER_UNAVAILABLE` */
  async function smolvm(): Promise<Smolvm> {
    machineStatePath(settings, placing(platform));
    if (program === undefined || !existsSync(program.path)) program = await find();
    if (program === undefined) {
      throw new BottleError('DRIVER_UNAVAILABLE', 'smolvm is not on this host', {
        hint: 'bottle doctor says how to get it; or use --driver docker',
      });
    }
    await assertVersion(program);
    return { program, state: machineStateDirectory(settings) };
  }

  /** @returns undefined when there is none, or it is another installation's, or of another launch than `run` */
  async function ownRecord(vm: Smolvm, id: string, run?: string): Promise<MachineRecord | undefined> {
    const record = await readRecord(vm, machineName(id));
    return record !== undefined && isOwn(record, run) ? record : undefined;
  }

  const isOwn = ({ labels }: MachineRecord, run: string | undefined): boolean =>
    labels[LABEL.owner] === host.owner && (run === undefined || labels[LABEL.run] === run);

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

  /** Whether it runs, with all that it needs outside. */
  async function isUp({ name, state }: MachineRecord): Promise<boolean> {
    return state === 'running' && (!hasLink(settings, name) || (await isLinked(settings, name)));
  }

  /** What the machine runs begins after its start has been told. @throws BottleError `MACHINE_START_FAILED` */
  async function untilListening(vm: Smolvm, id: string, signal: AbortSignal | undefined): Promise<void> {
    const argv = ['sh', '-c', IS_LISTENING];
    for (const end = Date.now() + LISTENING_MS; Date.now() < end; await sleep(LISTENING_POLL_MS)) {
      signal?.throwIfAborted();
      const [stdout, stderr] = [new PassThrough().resume(), new PassThrough().resume()];
      const request = { argv, workdir: '/', stdout, stderr };
      const { exitCode } = await smolvmExec(vm, machineName(id), request, () => assertRunning(vm, id));
      if (exitCode === 0) return;
    }
    throw new BottleError('MACHINE_START_FAILED', `in ${machineName(id)} nothing listens for the bundle`, {
      hint: 'its image must hold socat, as ours does: begin yours with FROM ${BASE}',
    });
  }

  /** Nobody but its own file tells a guest what a name leads to. @throws BottleError `MACHINE_START_FAILED` */
  async function nameBundle(vm: Smolvm, id: string, address: string | undefined): Promise<void> {
    if (address === undefined) return; // made before there was anything to name
    const [stdout, stderr] = [new PassThrough().resume(), new PassThrough().resume()];
    const argv = ['sh', '-c', NAME_BUNDLE, 'sh', address, EGRESS_NAME];
    const request = { argv, user: 'root', workdir: '/', stdout, stderr };
    const { exitCode } = await smolvmExec(vm, machineName(id), request, () => assertRunning(vm, id));
    if (exitCode === 0) return;
    throw new BottleError('MACHINE_START_FAILED', `/etc/hosts of ${machineName(id)} cannot be written`);
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

  async function create(vm: Smolvm, bottle: BottleRef, spec: MachineSpec, signal?: AbortSignal): Promise<void> {
    const source = await imageSource(host, spec.image, signal);
    const address = seenFromMachine(spec.network, spec.link).bundleIp;
    const labels = { ...objectLabels(host, bottle, STEP, madeFrom(spec, source)), [LABEL.bundle]: address };
    const ensure = async (name: string): Promise<void> => {
      const found = await readRecord(vm, name);
      if (found !== undefined) assertOurs(host, 'machine', name, found.labels);
      if (
        found !== undefined &&
        isWantedOf(bottle, found.labels, labels) &&
        isStartable(found) &&
        hasItsArchive(vm, found)
      )
        return;
      await remove(vm, name, found !== undefined);
      if (spec.link === 'sockets') makeLink(settings, name, spec.network.bundleIp);
      const make = async (file: string): Promise<Answer> => {
        const args = createArgs(name, spec, source.option, file, labels, linkDirectory(settings, name));
        if (source.option === '--image') await stageArchive(vm, file);
        return callSmolvm(vm, ['machine', 'create'], args, { timeoutMs: CREATE_MS, signal });
      };
      const { failure } = await source.use(
        (file) => withLock(createsLock(settings), () => make(file), 'shared'),
        () => prune(vm),
      );
      if (failure !== undefined) throw programFailed(`create the machine ${name}`, failure);
    };
    await alone(vm, bottle.id, ensure, signal);
  }

  async function remove(vm: Smolvm, name: string, isKnown: boolean): Promise<void> {
    await (isKnown ? removeMachine : removeRemains)(vm, name, report);
    await removeLink(settings, name);
  }

  /** What smolvm does not know any more is nobody's, and goes too. */
  async function removeOwn(id: string, run: string | undefined): Promise<void> {
    const vm = await smolvm();
    await alone(vm, id, async (name) => {
      const record = await readRecord(vm, name);
      if (record !== undefined && !isOwn(record, run)) return;
      await remove(vm, name, record !== undefined);
      await removeSeeds(vm, report);
    });
  }

  /** A new archive comes when images have been built anew, so others may be needed no more. */
  const prune = (vm: Smolvm): Promise<void> =>
    pruneArchives({ docker: host.docker, settings, smolvm: vm }, 0).then(
      () => undefined,
      (error: Error) => report(`archives of images were not pruned: ${error.message}`),
    );

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
    async create(bottle, spec, signal) {
      await create(await smolvm(), bottle, spec, signal);
    },
    async start({ id }, signal) {
      const vm = await smolvm();
      if (await isUp(await existing(vm, id))) return;
      // The slot first: who waits for one must not keep a machine from being stopped.
      const inTurn = (): Promise<void> =>
        alone(
          vm,
          id,
          async (name) => {
            const { state, labels } = await existing(vm, id);
            const linked = hasLink(settings, name);
            if (linked) await ensureRelay(settings, id);
            if (state !== 'running') await start(vm, name, signal);
            if (linked) await untilListening(vm, id, signal);
            await nameBundle(vm, id, labels[LABEL.bundle]);
          },
          signal,
        );
      await withOneOf(startSlots(settings, starts), inTurn, signal);
    },
    async stop(id, run) {
      const vm = await smolvm();
      await alone(vm, id, async (name) => {
        if ((await ownRecord(vm, id, run)) === undefined) return;
        await stopMachine(vm, name, STOP_SECONDS, report);
        await endRelay(settings, name);
      });
    },
    delete: removeOwn,
    async status(id) {
      const record = await ownRecord(await smolvm(), id);
      if (record === undefined) return 'absent';
      // Without its way to the bundle it is of no use, and a start is what mends it.
      return record.state === 'running' && !(await isUp(record)) ? 'stopped' : statusOf(record);
    },
    async untilStopped(id, signal) {
      const vm = await smolvm();
      if ((await ownRecord(vm, id)) === undefined) return;
      const name = machineName(id);
      // Its record may say anything: what ends are the process that runs it, and the one that it needs.
      const needed = [bootProcesses(vm.state, name), ...(hasLink(settings, name) ? [relays(settings, name)] : [])];
      await untilOneIsGone(await Promise.all(needed), signal);
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
        const { [LABEL.bottle]: id, [LABEL.run]: run = '' } = labels;
        return labels[LABEL.owner] === host.owner && id !== undefined && isBottleId(id) ? [{ id, run }] : [];
      });
    },
  };
}

/** In place, since the file may be mounted; once, however often the machine is started. */
const NAME_BUNDLE = `others=$(grep -v "\\s$2$" /etc/hosts); printf '%s\\n%s\\t%s\\n' "$others" "$1" "$2" >/etc/hosts`;

/** Owners and modes as they are in the archive, whatever is there already. */
const UNPACK = ['tar', '-xpf', '-', '-C', '/'];

function notRunning(name: string, what: string): BottleError {
  return new BottleError('MACHINE_NOT_RUNNING', `the machine ${name} ${what}`, { hint: 'bottle status shows why' });
}

const toStandardError: Report = (line) => void process.stderr.write(`${line}\n`);
