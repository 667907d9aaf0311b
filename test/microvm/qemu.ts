/** The emulated computer: brought up by QEMU, given one command, and gone with all that it wrote when that has ended. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, createWriteStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { EmulatedDisk } from './disk.ts';

export interface EmulatedRun {
  /** Of this repository; read, never written. */
  checkout: string;
  /** An empty folder of the run's own: what the command leaves in /exchange is found here. */
  exchange: string;
  /** Lines of a shell, run in the checkout. */
  command: string;
  /** How many seconds one of the computer's lasts: on a busy computer nothing in it is late, where it is slow enough. */
  slowdown: number;
  /** All that the computer says goes into this file. */
  log: string;
  /** Each line of it, too. */
  onLine(line: string): void;
}

type Accelerator = 'kvm' | 'tcg';
const PROCESSORS = {
  kvm: ['-accel', 'kvm', '-cpu', 'host', '-smp', '2'],
  tcg: ['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2'],
};
const MEMORY = '8G';
/** With KVM a computer is up in seconds; one that does not come up does not nest. */
const UP_BY_KVM_MS = 120_000;
const ARCHITECTURE = 'x86_64-linux-gnu';

/**
 * @returns the command's exit code, and by what it was run
 * @throws Error when no such computer comes up
 */
export async function runEmulated(
  disk: EmulatedDisk,
  run: EmulatedRun,
): Promise<{ code: number; accelerator: Accelerator }> {
  writeFileSync(path.join(run.exchange, 'command'), run.command);
  for (const accelerator of accelerators()) {
    const code = await attempt(disk, run, accelerator);
    if (code !== undefined) return { code, accelerator };
    run.onLine(`:: none comes up by ${accelerator}`);
  }
  throw new Error(`the emulated computer did not come up; all that it said is in ${run.log}`);
}

/** KVM where it is said to nest; without, QEMU emulates a processor that can. */
function accelerators(): Accelerator[] {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return ['tcg'];
  }
  const nests = ['kvm_intel', 'kvm_amd'].some((module) => {
    const file = `/sys/module/${module}/parameters/nested`;
    return existsSync(file) && /^[Y1]/.test(readFileSync(file, 'utf8'));
  });
  return nests ? ['kvm', 'tcg'] : ['tcg'];
}

/** @returns the exit code of the command; undefined when it was never begun */
async function attempt(disk: EmulatedDisk, run: EmulatedRun, accelerator: Accelerator): Promise<number | undefined> {
  const libraries = path.join(disk.root, 'usr/lib', ARCHITECTURE);
  const isSlow = accelerator === 'tcg' && run.slowdown !== 1;
  const slowly = !isSlow ? [] : ['--preload', path.join(libraries, 'faketime/libfaketimeMT.so.1')];
  const program = [
    // It runs from the folder that its packages are in: they need not be on this computer.
    ...[path.join(disk.root, 'usr/lib64/ld-linux-x86-64.so.2'), ...slowly, '--library-path', libraries],
    path.join(disk.root, 'usr/bin/qemu-system-x86_64'),
  ];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...program, ...options(disk, run, accelerator)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      // What is written to the disk goes into a file there that has no name.
      TMPDIR: run.exchange,
      ...(!isSlow ? {} : { FAKETIME: `+0 x${1 / run.slowdown}` }),
      QEMU_MODULE_DIR: path.join(libraries, 'qemu'),
    },
  });
  const ended = once(child, 'close');
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const log = createWriteStream(run.log, { flags: 'a' });
  let isUp = false;
  const late = accelerator === 'kvm' ? setTimeout(() => isUp || child.kill('SIGKILL'), UP_BY_KVM_MS) : undefined;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log.write(`${line}\n`);
      if (line.startsWith(':: up')) isUp = true;
      run.onLine(line.trimEnd());
    });
  }
  try {
    await ended;
  } finally {
    clearTimeout(late);
    process.off('exit', endWithUs);
    log.end();
  }
  const code = path.join(run.exchange, 'code');
  return isUp && existsSync(code) ? Number(readFileSync(code, 'utf8')) : undefined;
}

function options({ disk, kernel, initrd, root }: EmulatedDisk, run: EmulatedRun, accelerator: Accelerator): string[] {
  const share = (tag: string, folder: string, more = ''): string[] => [
    ...['-fsdev', `local,id=${tag},path=${folder},security_model=none,multidevs=remap${more}`],
    ...['-device', `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`],
  ];
  return [
    ...['-L', path.join(root, 'usr/share/qemu'), '-L', path.join(root, 'usr/share/seabios')],
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-serial', 'stdio', '-monitor', 'none'],
    ...PROCESSORS[accelerator],
    ...['-m', MEMORY, '-nic', 'none', '-device', 'virtio-rng-pci'],
    ...['-kernel', kernel, '-initrd', initrd],
    ...['-append', 'root=/dev/vda rw rootfstype=ext4 console=ttyS0 init=/init-bottle mitigations=off panic=1'],
    ...['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe,snapshot=on`],
    ...share('checkout', run.checkout, ',readonly=on'),
    ...share('exchange', run.exchange),
  ];
}
