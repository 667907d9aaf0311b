/** Has a paused container go on, also where its Engine cannot. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';

const PATIENCE_MS = 5000;
const CGROUPS = '/sys/fs/cgroup';

/**
 * Docker 20.10 never unpauses a container that was paused in the moment in which a command began in it: `runc exec` stands frozen, and
 * the Engine waits for it before it does anything else with that container.
 * @param pid of the container's first process
 * @returns whether the kernel had to be told directly
 */
export async function thaw(container: Dockerode.Container, pid: number): Promise<boolean> {
  const answered = container.unpause().then(
    () => true,
    () => true,
  );
  if (await Promise.race([answered, sleep(PATIENCE_MS, false)])) return false;
  const freezer = freezerOf(pid);
  if (freezer === undefined) return false;
  writeFileSync(freezer.file, freezer.thawed);
  return true;
}

/** Of cgroups version 1 or 2; undefined where the process is gone. */
function freezerOf(pid: number): { file: string; thawed: string } | undefined {
  if (!existsSync(`/proc/${pid}/cgroup`)) return undefined;
  const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  const old = lines.map((line) => /^\d+:(?:[^:]*,)?freezer(?:,[^:]*)?:(.*)$/.exec(line)?.[1]).find(Boolean);
  if (old !== undefined) return { file: path.join(CGROUPS, 'freezer', old, 'freezer.state'), thawed: 'THAWED' };
  const unified = lines.map((line) => /^0::(.*)$/.exec(line)?.[1]).find(Boolean);
  if (unified === undefined) return undefined;
  return { file: path.join(CGROUPS, unified, 'cgroup.freeze'), thawed: '0' };
}
