/** An Engine that only the run uses, in namespaces of its own, so that it may be killed, stopped and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Dockerode from 'dockerode';
import { connectDocker } from '../../src/host/docker.ts';
import { imageTag } from '../../src/host/image-tags.ts';
import { carryImages } from '../engines/engine.ts';
import { commandOf, ENGINE_FOLDER, processIds } from './sweep.ts';

const SCRIPT = fileURLToPath(new URL('own-engine.sh', import.meta.url));
const START_MS = 60_000;

/** Whether this computer has what it takes: root on Linux, and an Engine's programs. */
export const canOwnEngine = (): boolean =>
  process.platform === 'linux' &&
  process.getuid?.() === 0 &&
  ['dockerd', 'containerd', 'ip', 'unshare', 'setpriv'].every((name) =>
    (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(path.join(folder, name))),
  );

export class OwnEngine {
  readonly #place: string;
  readonly #group: string;
  readonly #docker: Dockerode;
  #computer: ChildProcess | undefined;
  /** The one that was told to end, which may take it some seconds. */
  #ending: number | undefined;

  private constructor(directory: string) {
    this.#place = path.join(directory, ENGINE_FOLDER);
    // Nobody removes the control groups of its containers with it, but sweep.ts.
    this.#group = path.basename(directory);
    this.#docker = new Dockerode({ socketPath: this.socket });
  }

  /** The Engine, with the images that the bottles of a run are made of. @throws Error with its last words */
  static async start(directory: string): Promise<OwnEngine> {
    const engine = new OwnEngine(directory);
    mkdirSync(path.join(engine.#place, 'data'), { recursive: true });
    await engine.#boot();
    const tags = await Promise.all((['guest', 'bundle'] as const).map((kind) => imageTag(kind)));
    await carryImages(connectDocker(), { docker: engine.#docker }, tags);
    return engine;
  }

  get socket(): string {
    return path.join(this.#place, 'docker.sock');
  }

  /** Whether it runs, whatever it answers. */
  get pid(): number | undefined {
    return processIds().find((pid) => nameOf(pid) === 'dockerd' && commandOf(pid).includes(` ${this.#place}/`));
  }

  /** kill -9: what runs in containers goes on without it, until it is back. @returns false when it does not run */
  kill(): boolean {
    return this.#signal('SIGKILL');
  }

  /** As a service manager stops it: it stops its containers first. */
  stop(): boolean {
    return this.#signal('SIGTERM');
  }

  /** The computer that it is on loses its power: all that runs there is gone at once, networks too. */
  async powerOff(): Promise<void> {
    const ended = this.#computer === undefined ? undefined : once(this.#computer, 'exit');
    this.#computer?.kill('SIGKILL');
    await ended;
    this.#computer = undefined;
  }

  /** Starts what does not run of it. @throws Error with its last words when it does not come up */
  async goOn(): Promise<void> {
    if (this.#computer === undefined) return this.#boot();
    for (const end = Date.now() + START_MS; this.pid !== undefined && this.pid === this.#ending; await sleep(50))
      if (Date.now() > end) throw new Error('the Engine of the run does not end');
    if (this.pid === undefined) writeFileSync(path.join(this.#place, 'again'), '');
    await this.#untilItAnswers();
  }

  async #boot(): Promise<void> {
    rmSync(path.join(this.#place, 'again'), { force: true });
    rmSync(this.socket, { force: true });
    // All of it ends with the first process of the namespaces, that one with `unshare`, and that with this program.
    const flags = ['--mount', '--mount-proc', '--net', '--pid', '--fork', '--kill-child=SIGKILL'];
    const command = ['--pdeathsig', 'KILL', 'unshare', ...flags, 'sh', SCRIPT, this.#place, this.#group];
    this.#computer = spawn('setpriv', command, {
      stdio: 'ignore',
      // A session of its own: Ctrl-C is for the run.
      detached: true,
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    await this.#untilItAnswers();
  }

  #signal(name: NodeJS.Signals): boolean {
    const { pid } = this;
    if (pid === undefined) return false;
    process.kill(pid, name);
    this.#ending = pid;
    return true;
  }

  async #untilItAnswers(): Promise<void> {
    for (const end = Date.now() + START_MS; !(await this.#answers()); await sleep(50)) {
      if (Date.now() < end) continue;
      const words = readFileSync(path.join(this.#place, 'engine.log'), 'utf8').trimEnd().split('\n').slice(-8);
      throw new Error(`the Engine of the run does not start: ${words.join('\n')}`);
    }
  }

  #answers(): Promise<boolean> {
    return this.#docker.ping().then(
      () => true,
      () => false,
    );
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
