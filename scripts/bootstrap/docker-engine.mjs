// Docker Engine: found running, else installed and started where that is ours to do (Linux, root, apt), else refused.
import { execFile, spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { logs, node24Path } from './places.mjs';
import { run, which } from './processes.mjs';
import { proxyVariables } from './proxy.mjs';
import { Refusal } from './refusal.mjs';

const log = join(logs, 'dockerd.log');
const START_WITHIN = 60_000;

const askEngineScript = fileURLToPath(new URL('ask-engine.mjs', import.meta.url));

let answer;

export const dockerEngine = {
  name: 'Docker Engine',
  look: async () => {
    answer = await askEngine();
    return answer.error === undefined ? `${answer.version}, running` : undefined;
  },
  plan: 'apt-get install docker.io where it is missing, then start it',
  provide: async (say) => {
    refuseWhereNotOurs();
    if (!(await which('dockerd'))) await install(say);
    if (await answersWithin((await isStarting()) ? START_WITHIN : 0)) return;
    say(existsSync('/run/systemd/system') ? 'systemctl start docker' : `starting dockerd; its log is ${log}`);
    await (existsSync('/run/systemd/system') ? run('systemctl', ['start', 'docker']) : startDetached());
  },
};

/** What the Engine says where the product finds it: see ask-engine.mjs. */
export async function askEngine() {
  const { stdout } = await promisify(execFile)(node24Path, [askEngineScript]);
  return JSON.parse(stdout);
}

function refuseWhereNotOurs() {
  const { error, chosen } = answer;
  // Who names one means that one.
  if (chosen) throw new Refusal(error.message, error.hint);
  if (process.platform !== 'linux') throw new Refusal(error.message, 'start Docker Desktop, Colima or the like');
  if (error.code === 'EACCES')
    throw new Refusal(
      error.message,
      'add yourself to the group docker and log in again, name your own Engine in DOCKER_HOST, or run this as root',
    );
  if (process.getuid() !== 0)
    throw new Refusal(
      error.message,
      'install and start it (Debian: sudo apt-get install docker.io), or run this as root',
    );
}

async function install(say) {
  if (!(await which('apt-get')))
    throw new Refusal('dockerd is not installed, and there is no apt-get', 'install Docker Engine');
  const env = { DEBIAN_FRONTEND: 'noninteractive', ...(await proxyVariables()) };
  say('apt-get update');
  await run('apt-get', ['update', '-q'], { env });
  say('apt-get install docker.io');
  await run('apt-get', ['install', '--yes', '-q', '--no-install-recommends', 'docker.io', 'ca-certificates'], { env });
}

const pidFile = '/var/run/docker.pid';

/** The package's own start script may be at it already: a second dockerd would only fail. */
async function isStarting() {
  const pid = (await readFile(pidFile, 'utf8').catch(() => '')).trim();
  // Not its name, which a killed one keeps as a zombie that nobody has waited for.
  const commandLine = pid === '' ? '' : await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (/^[^\0]*dockerd\0/.test(commandLine)) return true;
  // Left by one that was killed. If another process has its number by now, dockerd would take that for itself.
  await rm(pidFile, { force: true });
  return false;
}

async function startDetached() {
  await mkdir(logs, { recursive: true });
  const output = openSync(log, 'a');
  // A session of its own, and none of our input and output: it outlives us, and nobody waits for it to close a pipe.
  const dockerd = spawn('dockerd', [], { detached: true, cwd: '/', stdio: ['ignore', output, output] });
  let ended = false;
  dockerd.on('exit', () => {
    ended = true;
  });
  dockerd.on('error', () => {
    ended = true;
  });
  dockerd.unref();
  if (await answersWithin(START_WITHIN, () => ended)) return;
  process.stderr.write(
    (await readFile(log, 'utf8'))
      .split('\n')
      .slice(-15)
      .map((line) => `  ${line}\n`)
      .join(''),
  );
  throw new Refusal('dockerd did not start', `its last lines stand above, all of them in ${log}`);
}

async function answersWithin(ms, givenUp = () => false) {
  for (const end = Date.now() + ms; ; await sleep(200)) {
    if ((await dockerEngine.look()) !== undefined) return true;
    if (Date.now() >= end || givenUp()) return false;
  }
}
