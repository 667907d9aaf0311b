/** A place of its own for machines of one smolvm program: an installation that nobody else has, and what is left in it. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { machineName } from '../../src/core/names.ts';
import type { BottleRef, NetworkFacts } from '../../src/core/step-io.ts';
import { callSmolvm, type Smolvm, type SmolvmProgram } from '../../src/host/machine/smolvm/cli.ts';
import { type SmolvmDriver, type SmolvmHost, smolvmDriver } from '../../src/host/machine/smolvm/machine.ts';
import { allBootProcesses, bootProcesses, lifeCalls } from '../../src/host/machine/smolvm/processes.ts';
import { readRecords } from '../../src/host/machine/smolvm/records.ts';
import { linkDirectory, relays, removeLink } from '../../src/host/machine/smolvm/relay.ts';
import { removeMachine } from '../../src/host/machine/smolvm/removal.ts';
import { machineDirectory, machineStateDirectory } from '../../src/host/machine/smolvm/state-directory.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import type { MachineSubject } from '../contract/machine-driver.testsuite.ts';
import { type DockerSite, dockerSite } from './docker-site.ts';

export interface SmolvmMachines extends MachineSubject {
  readonly site: DockerSite;
  readonly host: SmolvmHost;
  readonly driver: SmolvmDriver;
  readonly smolvm: Smolvm;
  /** What had to be ended or removed by force. */
  readonly reports: string[];
  /** All that is there of a machine, in words; none when it is gone whole. */
  remains(id: string): Promise<string[]>;
}

/** Addresses for machines that never start: there is no such network. */
export const NOBODYS: NetworkFacts = {
  name: 'none',
  subnet: '10.9.8.0/28',
  gateway: '10.9.8.1',
  bundleIp: '10.9.8.2',
  machineIp: '10.9.8.3',
};

/** @param cache where archives of images are kept; by default where they are kept for all */
export async function smolvmMachines(program: SmolvmProgram, cache?: string): Promise<SmolvmMachines> {
  const site = await dockerSite();
  const { docker, owner } = site;
  const settings = { ...site.settings, ...(cache === undefined ? {} : { cache }) };
  const host: SmolvmHost = { docker, owner, settings };
  const smolvm: Smolvm = { program, state: machineStateDirectory(settings) };
  const reports: string[] = [];
  const options = { find: async () => program, report: (line: string) => void reports.push(line) };
  const recordOf = async (name: string) => (await readRecords(smolvm)).find((record) => record.name === name);
  return {
    site,
    host,
    smolvm,
    reports,
    driver: smolvmDriver(host, options),
    strangersDriver: smolvmDriver({ ...host, owner: `${owner}-stranger` }, options),
    prepare: async (id) => {
      const bottle: BottleRef = { ...site.bottle('vm'), ...(id === undefined ? {} : { id }) };
      const network = await ensureNetwork(site, bottle, { pool: site.pool, hostOnBridge: true });
      // Without an agent's program: no case needs it, and each machine unpacks its image anew.
      const image = process.env['BOTTLE_TEST_MACHINE_IMAGE'] ?? site.images.machine;
      return { bottle, spec: { ...site.machineSpec(network), image } };
    },
    crash: async (id) => {
      for (const { pid } of await bootProcesses(smolvm.state, machineName(id))) process.kill(pid, 'SIGKILL');
      await waitUntil(async () => (await bootProcesses(smolvm.state, machineName(id))).length === 0);
    },
    identity: async (id) => {
      const record = await recordOf(machineName(id));
      if (record === undefined) return undefined;
      // All that tells two apart that were made from the same is the second in which they were.
      const { stdout } = await callSmolvm(smolvm, ['machine', 'status'], ['--json', '--name', record.name], CALL);
      const { created_at: second } = JSON.parse(stdout) as { created_at: number };
      await waitUntil(async () => Math.floor(Date.now() / 1000) > second);
      return `${second} ${JSON.stringify(record.labels)}`;
    },
    remains: (id) => remainsOf(smolvm, id),
    dispose: async () => {
      for (const { name } of await readRecords(smolvm)) {
        await removeMachine(smolvm, name, () => undefined);
        await removeLink(settings, name);
      }
      const left = await allBootProcesses(smolvm.state);
      for (const { pid } of left) process.kill(pid, 'SIGKILL');
      await site.dispose();
      if (left.length > 0) throw new Error(`left behind: ${left.map(({ argv }) => argv.join(' ')).join(', ')}`);
    },
  };
}

/** All that is there of a bottle's machine, in words; none when it is gone whole. */
export async function remainsOf(smolvm: Smolvm, id: string): Promise<string[]> {
  const name = machineName(id);
  const installation = { state: path.dirname(smolvm.state) };
  const folders = [machineDirectory(smolvm.state, name), linkDirectory(installation, name)];
  return [
    ...(await readRecords(smolvm)).filter((record) => record.name === name).map(() => `record ${name}`),
    ...folders.filter((folder) => existsSync(folder)),
    ...(await bootProcesses(smolvm.state, name)).map(({ pid }) => `process ${pid}`),
    ...(await lifeCalls(smolvm.state, name)).map(({ verb, pid }) => `call ${verb} ${pid}`),
    ...(await relays(installation, name)).map(({ pid }) => `relay ${pid}`),
  ];
}

const CALL = { timeoutMs: 60_000 };

async function waitUntil(what: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await what()) && Date.now() < end; ) await sleep(20);
}
