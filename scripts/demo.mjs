// The tour, on the real thing: a launch that is held, mended and retried; a real agent binary; a refused way out; the end.
// It has an installation of its own in a temporary folder, and leaves nothing. `npm run demo -- --keep` leaves it running.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bottleProgram = fileURLToPath(new URL('../dist/client/main.js', import.meta.url));
const keep = process.argv.includes('--keep');
const directory = await mkdtemp(join(tmpdir(), 'bottle-demo-'));
const home = join(directory, 'home');
const port = await freePort();
const own = { BOTTLE_HOME: home, BOTTLE_STATE: join(directory, 'state'), BOTTLE_PORT: String(port) };
const env = { ...withoutTemporal(process.env), ...own };

async function tour() {
  await writeFile(join(directory, 'profile.toml'), '[profile.default]\n');
  await say(
    'An agent is one Markdown file, and so is the bottle it names. This one asks for a skill nobody has written yet:',
  );
  await writeManifest();

  await bottle(3, 'up', 'demo');
  await say('Held: every other step is done and stays done. The Temporal UI shows it too:');
  await bottle(0, 'ui');

  await say('The missing skill is written, and only the held step runs again:');
  await writeSkill();
  await bottle(0, 'retry', 'demo');

  await say('The agent itself, inside:');
  await bottle(0, 'exec', 'demo', '--', 'claude', '--version');

  await say('A host the bottle does not list is refused, and there is no other way out:');
  await bottle(0, 'exec', 'demo', '--', 'curl', '-sS', '-w', ' (%{http_code})\n', 'http://example.org/');
  await bottle(7, 'exec', 'demo', '--', 'curl', '-sS', '--noproxy', '*', '--connect-timeout', '2', 'http://1.1.1.1/');

  await bottle(0, 'status', 'demo');
}

async function end() {
  await say('Everything is undone, in reverse:');
  await bottle(0, 'down', 'demo');
  await bottle(0, 'serve', '--stop');
  const left = await leftovers();
  if (left !== '') throw new Error(`left behind: ${left}`);
  await say('No container, no network, no process is left.');
}

async function writeManifest() {
  await mkdir(join(home, 'agents'), { recursive: true });
  await mkdir(join(home, 'bottles'), { recursive: true });
  const agent = '---\nbottle: demo\nskills: [greeting]\n---\nYou are a careful assistant.\n';
  const bottleFile = '---\nallow: [example.com]\n---\nMay reach its model and example.com.\n';
  await writeFile(join(home, 'agents', 'demo.md'), agent);
  await writeFile(join(home, 'bottles', 'demo.md'), bottleFile);
  console.log(indent(agent.trimEnd()));
}

async function writeSkill() {
  await mkdir(join(home, 'skills', 'greeting'), { recursive: true });
  const skill = '---\nname: greeting\ndescription: How to greet\n---\nSay hello.\n';
  await writeFile(join(home, 'skills', 'greeting', 'SKILL.md'), skill);
}

/** Runs a command as a person would type it, and insists on its exit code. */
async function bottle(expected, ...args) {
  console.log(`\n$ bottle ${args.map(quoted).join(' ')}`);
  const code = await run(...args);
  if (code !== expected) throw new Error(`bottle ${args[0]} ended with ${code}, expected ${expected}`);
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

/** What carries a label of this demo's bottle, or runs from its folder. */
async function leftovers() {
  const found = await Promise.all([
    output('docker', ['ps', '-aq', '--filter', 'name=^/bottle-demo-(bundle|machine)$']),
    output('docker', ['network', 'ls', '-q', '--filter', 'name=^bottle-demo$']),
    output('pgrep', ['-f', directory]),
  ]);
  return found.filter((text) => text !== '').join(', ');
}

function output(program, args) {
  return new Promise((resolve) => {
    let text = '';
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.on('data', (data) => (text += data));
    child.on('error', () => resolve(''));
    child.on('close', () => resolve(text.trim()));
  });
}

/** A port whose neighbour 1000 above is free as well: the UI's. The default one, when nobody has it. */
async function freePort() {
  for (let candidate = 7233; ; candidate = 20_000 + Math.floor(Math.random() * 10_000)) {
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
  return { ...Object.fromEntries(kept), TEMPORAL_CONFIG_FILE: join(directory, 'profile.toml'), ...cacheOf(variables) };
}

function cacheOf({ BOTTLE_CACHE }) {
  return BOTTLE_CACHE === undefined ? {} : { BOTTLE_CACHE };
}

async function say(text) {
  console.log(`\n${text}`);
}

const indent = (text) => text.replace(/^/gm, '  ');
const quoted = (arg) => (/^[\w./:-]+$/.test(arg) ? arg : `'${arg.replaceAll('\n', '\\n')}'`);

try {
  await tour();
  if (keep) {
    const variables = Object.entries(own).map(([name, value]) => `${name}=${value}`);
    await say(
      `Left running. To go on:\n\n  export ${variables.join(' ')}\n  npx bottle status demo\n  npx bottle down demo && npx bottle serve --stop`,
    );
  } else {
    await end();
    await say('Next: write ~/.bottle/agents/<name>.md and run `npx bottle up <name>`.');
  }
} catch (error) {
  console.error(`\nerror[DEMO_FAILED]: ${error.message}`);
  await run('down', '--all').catch(() => undefined);
  await run('serve', '--stop').catch(() => undefined);
  process.exitCode = 1;
} finally {
  if (!keep) await rm(directory, { recursive: true, force: true });
}
