// The tour, on the real thing: a launch that is held, mended and retried; a conversation of the real agent with a model
// that is played here; a refused way out; a request that you approve; the end.
// It has an installation of its own in a temporary folder, and leaves nothing. `npm run demo -- --keep` leaves it running;
// `npm run demo -- --driver smolvm` has the agent live in a microVM.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  connectDocker,
  findSmolvm,
  imageTags,
  machineDirectory,
  machineName,
  machineNames,
  STATE_FOLDER,
} from '../dist/tooling.js';
import { startWorld } from '../test/support/world.ts';

const bottleProgram = fileURLToPath(new URL('../dist/client/main.js', import.meta.url));
const { keep, driver } = options();
const directory = await mkdtemp(join(tmpdir(), 'bottle-demo-'));
const home = join(directory, 'home');
const wantedPort = Number(process.env.BOTTLE_PORT || 7233);
const port = await freePort(wantedPort);
if (process.env.BOTTLE_PORT && port !== wantedPort)
  process.stderr.write(
    `BOTTLE_PORT ${wantedPort} is taken: the demo has ports of its own, ${port} and ${port + 1000}\n`,
  );
const own = { BOTTLE_HOME: home, BOTTLE_STATE: join(directory, 'state'), BOTTLE_PORT: String(port) };
const env = { ...withoutTemporal(process.env), ...own };

async function tour(world) {
  await writeFile(join(directory, 'profile.toml'), '[profile.default]\n');
  await say(
    'An agent is one Markdown file, and so is the bottle it names. This one asks for a skill nobody has written yet:',
  );
  await writeManifest(world);

  await bottle(3, 'up', 'demo');
  await expectHeldForTheSkill();
  await say('Held: every other step is done and stays done. The Temporal UI shows it too:');
  await bottle(0, 'ui');

  await say('The missing skill is written, and only the held step runs again:');
  await writeSkill();
  await bottle(0, 'retry', 'demo');

  await say('The agent itself, the real Claude Code, talks to its model through the scanner and egress:');
  await bottle(0, 'claude', 'demo', '--', '-p', 'say hello');
  await say('It uses a tool, and holds a placeholder where its credential would be:');
  await bottle(
    0,
    'claude',
    'demo',
    '--',
    '-p',
    world.script({ run: 'env | grep ANTHROPIC' }),
    '--dangerously-skip-permissions',
  );
  await showCredentials(world);

  await say('A host the bottle does not list is refused, and there is no other way out:');
  await bottle(0, 'exec', 'demo', '--', 'curl', '-sS', '-w', ' (%{http_code})\n', 'http://example.org/');
  // A container finds nobody there (7); of a microVM that has a network, its filter drops what it sends (28).
  const direct = ['curl', '-sS', '--noproxy', '*', '--connect-timeout', '2', 'http://1.1.1.1/'];
  await bottle(driver === 'smolvm' ? [7, 28] : [7], 'exec', 'demo', '--', ...direct);

  await say('So the agent asks you. It gets an id at once, and goes on with its work:');
  const ask = { host: 'echo.test', methods: ['GET'], pathPrefix: '/docs', reason: 'to read the documentation' };
  const asking = world.script({ call: 'mcp__supervise__request_egress_route', input: ask });
  await bottle(0, 'claude', 'demo', '--', '-p', asking, '--dangerously-skip-permissions');
  const [request] = await pendingRequests();
  await bottle(0, 'requests');
  await bottle(0, 'approve', 'demo', request.id, '--private', '--for', '10m', '--note', 'read only');
  await bottle(
    0,
    'exec',
    'demo',
    '--',
    'curl',
    '-sS',
    '-o',
    '/dev/null',
    '-w',
    'GET  %{http_code}\n',
    'http://egress:9099/echo.test/docs',
  );
  await bottle(
    0,
    'exec',
    'demo',
    '--',
    'curl',
    '-sS',
    '-w',
    ' (%{http_code})\n',
    '-X',
    'POST',
    'http://egress:9099/echo.test/docs',
  );

  await bottle(0, 'status', 'demo');
}

/** Of the computer the demo runs on, it is found out here whether it can do what was asked for. */
async function expectHeldForTheSkill() {
  const { steps } = JSON.parse(await output(process.execPath, [bottleProgram, 'status', 'demo', '--json'], env));
  const other = steps.find(({ id, state }) => state === 'held' && id !== 'provision.skills');
  if (other === undefined) return;
  const { message } = other.error;
  if (other.id !== 'machine.start' || driver !== 'smolvm') throw new Error(`held at ${other.id}: ${message}`);
  await say('That was to be held for its skill only. But microVMs do not boot here, and without one the tour is over.');
  throw new Error(
    `no machine of smolvm boots on this host: ${message}\nhint: npm run demo, which uses Docker's machines`,
  );
}

/** What arrived at the model, against what the agent holds. */
async function showCredentials(world) {
  const sent = (await world.requests()).findLast(({ host }) => host === 'model.test');
  const right = sent?.headers['x-api-key'] === world.modelKey;
  console.log(`\nThe model got ${right ? 'its real key, put in by egress' : 'NO KEY'}; the agent never had it.`);
  if (!right) throw new Error('the key did not reach the model');
}

/** As soon as the worker has heard of one. */
async function pendingRequests() {
  for (let tries = 0; tries < 100; tries++) {
    const requests = JSON.parse(await output(process.execPath, [bottleProgram, 'requests', 'demo', '--json'], env));
    if (requests.length > 0) return requests;
  }
  throw new Error('nobody heard the request');
}

async function end() {
  await say('Everything is undone, in reverse:');
  await bottle(0, 'down', 'demo');
  await bottle(0, 'serve', '--stop');
  const left = await leftovers();
  if (left !== '') throw new Error(`left behind: ${left}`);
  await say(`No container, no network, no ${driver === 'smolvm' ? 'microVM, no ' : ''}process is left.`);
}

async function writeManifest(world) {
  for (const folder of ['agents', 'bottles']) await mkdir(join(home, folder), { recursive: true });
  const agent = '---\nbottle: demo\nskills: [greeting]\n---\nYou are a careful assistant.\n';
  const bottleFile = `---
${driver === 'smolvm' ? 'driver: smolvm\n' : ''}image: minimal
agent_provider:
  api_key: file:${join(home, 'model-key')}
  base_url: https://model.test
  private: true
supervise: true
---
Talks to its model with a key it never sees, and may ask for more.
`;
  await writeFile(join(home, 'model-key'), `${world.modelKey}\n`, { mode: 0o600 });
  await writeFile(join(home, 'config.yaml'), `network: {uplink: ${world.network.name}, ca: ${world.ca.file}}\n`);
  await writeFile(join(home, 'agents', 'demo.md'), agent);
  await writeFile(join(home, 'bottles', 'demo.md'), bottleFile);
  console.log(`${indent(agent.trimEnd())}\n\n${indent(bottleFile.trimEnd())}`);
}

async function writeSkill() {
  await mkdir(join(home, 'skills', 'greeting'), { recursive: true });
  const skill = '---\nname: greeting\ndescription: How to greet\n---\nSay hello.\n';
  await writeFile(join(home, 'skills', 'greeting', 'SKILL.md'), skill);
}

/** Runs a command as a person would type it, and insists on its exit code, or on one of several. */
async function bottle(expected, ...args) {
  console.log(`\n$ bottle ${args.map(quoted).join(' ')}`);
  const code = await run(...args);
  if (![expected].flat().includes(code)) throw new Error(`bottle ${args[0]} ended with ${code}, expected ${expected}`);
}

function run(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bottleProgram, ...args], { env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      signal === null ? resolve(code) : reject(new Error(`bottle died of ${signal}`)),
    );
  });
}

/** What carries a name of this demo's bottle, or runs from its folder. */
async function leftovers() {
  const found = await Promise.all([
    output('docker', ['ps', '-aq', '--filter', 'name=^/bottle-demo-(bundle|machine)$']),
    output('docker', ['network', 'ls', '-q', '--filter', 'name=^bottle-demo$']),
    output('pgrep', ['-f', directory]),
    machines(),
  ]);
  return found.filter((text) => text !== '').join(', ');
}

/** Records that smolvm has, and the folder of the one machine that there was. */
async function machines() {
  const state = join(own.BOTTLE_STATE, STATE_FOLDER);
  if (!existsSync(state)) return '';
  const program = await findSmolvm();
  const known = program === undefined ? [] : await machineNames({ program, state });
  const folder = machineDirectory(state, machineName('demo'));
  return [...known, ...(existsSync(folder) ? [folder] : [])].join(', ');
}

function output(program, args, environment = process.env) {
  return new Promise((resolve) => {
    let text = '';
    const child = spawn(program, args, { env: environment, stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.on('data', (data) => (text += data));
    child.on('error', () => resolve(''));
    child.on('close', () => resolve(text.trim()));
  });
}

function options() {
  try {
    const { values } = parseArgs({ options: { keep: { type: 'boolean' }, driver: { type: 'string' } } });
    const { keep = false, driver = 'docker' } = values;
    if (driver !== 'docker' && driver !== 'smolvm') throw new Error(`--driver is docker or smolvm, not ${driver}`);
    return { keep, driver };
  } catch (error) {
    console.error(`error[USAGE]: ${error.message}`);
    process.exit(2);
  }
}

/** A port whose neighbour 1000 above is free as well: the UI's. The default one, when nobody has it. */
async function freePort(first) {
  for (let candidate = first; ; candidate = 20_000 + Math.floor(Math.random() * 10_000)) {
    if ((await isFree(candidate)) && (await isFree(candidate + 1000))) return candidate;
  }
}

function isFree(candidate) {
  return new Promise((resolve) => {
    const server = net.createServer().once('error', () => resolve(false));
    server.listen(candidate, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** The demo brings its own server, whatever the caller's profile says. */
function withoutTemporal(variables) {
  const kept = Object.entries(variables).filter(
    ([name]) => !name.startsWith('TEMPORAL_') && !name.startsWith('BOTTLE_'),
  );
  return { ...Object.fromEntries(kept), TEMPORAL_CONFIG_FILE: join(directory, 'profile.toml'), ...heeded(variables) };
}

/** Of the person's own settings, those that are no part of their installation. */
function heeded({ BOTTLE_CACHE, BOTTLE_HOST }) {
  return {
    ...(BOTTLE_CACHE === undefined ? {} : { BOTTLE_CACHE }),
    ...(BOTTLE_HOST === undefined ? {} : { BOTTLE_HOST }),
  };
}

async function say(text) {
  console.log(`\n${text}`);
}

const indent = (text) => text.replace(/^/gm, '  ');
const quoted = (arg) => (/^[\w./:-]+$/.test(arg) ? arg : `'${arg.replaceAll('\n', '\\n')}'`);

let world;
try {
  await say(
    'Nothing here needs the internet: a model, and a site that wants to be asked for, are played by one container.',
  );
  world = await startWorld({ docker: connectDocker(), image: (await imageTags()).guest, label: 'demo' });
  await tour(world);
  if (keep) {
    const variables = Object.entries(own).map(([name, value]) => `${name}=${value}`);
    await say(
      `Left running. To go on:\n\n  export ${variables.join(' ')}\n  npx bottle status demo\n  npx bottle down demo && npx bottle serve --stop\n  docker rm -f ${world.network.name} && docker network rm ${world.network.name}`,
    );
  } else {
    await end();
    await say('Next: write ~/.bottle/agents/<name>.md and run `npx bottle up <name>`.');
  }
} catch (error) {
  console.error(`\nerror[DEMO_FAILED]: ${error.message}`);
  await run('down', '--all').catch(() => undefined);
  await run('serve', '--stop').catch(() => undefined);
  const left = await leftovers().catch((reason) => `whatever there is: ${reason.message}`);
  console.error(left === '' ? '\nNothing is left of it.' : `\nleft behind: ${left}`);
  process.exitCode = 1;
} finally {
  if (!keep) {
    await world?.dispose();
    await rm(directory, { recursive: true, force: true });
  }
}
