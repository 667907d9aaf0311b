/**
 * An agent's first minutes in a machine of the image `full`: it clones a small project, and builds and tests it with what
 * its ecosystems have, each of them fetched through the way out from the registries that this computer reaches. No registry
 * is named here: a mirror is taken from the host's own clients, and whatever else a program asks for is seen in what the
 * bundle refused, put into `allow` and applied, as an operator does.
 */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { bundleName } from '../../src/core/names.ts';
import { ensureImages, imageTags } from '../../src/host/images.ts';
import { docker, type Installation, installation, root, uniqueId } from '../support/installation.ts';
import { startWorld, type World } from '../support/world.ts';

/** A dependency in each ecosystem: small, without any of its own, years old. */
const PROJECT: Record<string, string> = {
  'package.json': JSON.stringify({
    name: 'small',
    version: '1.0.0',
    scripts: { test: 'node test.js' },
    dependencies: { 'is-number': '7.0.0' },
  }),
  'package-lock.json': JSON.stringify({
    name: 'small',
    version: '1.0.0',
    lockfileVersion: 3,
    packages: {
      '': { name: 'small', version: '1.0.0', dependencies: { 'is-number': '7.0.0' } },
      'node_modules/is-number': {
        version: '7.0.0',
        integrity: 'sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==',
      },
    },
  }),
  'test.js': "console.log(require('is-number')(7) ? 'node: passed' : 'failed');\n",
  'requirements.txt': 'six==1.16.0\n',
  'test.py': "import six; print('python: passed' if six.PY3 else 'failed')\n",
  'Cargo.toml': '[package]\nname = "small"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\nitoa = "=1.0.9"\n',
  'src/main.rs':
    'fn main() { println!("cargo: {}ed", if itoa::Buffer::new().format(7u8) == "7" { "pass" } else { "fail" }) }\n',
  'go.mod': 'module small\n\ngo 1.19\n\nrequire github.com/pkg/errors v0.9.1\n',
  'go.sum':
    'github.com/pkg/errors v0.9.1 h1:FEBLx1zS214owpjy7qsBeixbURkuhQAwrK5UwLGTwt4=\n' +
    'github.com/pkg/errors v0.9.1/go.mod h1:bwawxfHBFNV+L2hUp1rHADufV3IMtnDRdf1r5NINEl0=\n',
  'main.go':
    'package main\n\nimport "github.com/pkg/errors"\n\nfunc main() { println("go: " + errors.New("passed").Error()) }\n',
};
const LEARN_ROUNDS = 5;

let it: Installation;
let world: World;
const id = uniqueId('first');
/** Hosts that were refused, and are allowed since. */
const allowed = new Set<string>();
let gitToken: string;

beforeAll(async () => {
  await ensureImages(docker, { report: (line) => console.error(line) });
  [world, it] = await Promise.all([startWorld({ docker, image: (await imageTags()).guest }), installation()]);
  for (const [file, content] of Object.entries(PROJECT)) {
    await world.commit({ repository: 'team/app', branch: 'main', file, content, message: `Add ${file}` });
  }
  gitToken = path.join(it.settings.home, 'git-token');
  writeFileSync(gitToken, world.gitToken, { mode: 0o600 });
  const ca = path.join(it.settings.home, 'ca.pem');
  writeFileSync(ca, [world.ca.cert, ...hostCas()].join('\n'));
  it.writeConfig(`network: {uplink: ${world.network.name}, ca: ${ca}}\n`);
  await writeFiles();
  await it.startWorker();
  await it.launch(id, { agent: 'first' });
  await it.waitFor(id, ({ phase }) => phase === 'ready', 300);
}, 400_000);
afterAll(async () => {
  await it?.dispose();
  await world?.dispose();
});

/** What this host's Node was told to trust beyond the usual, where somebody reads its HTTPS. */
function hostCas(): string[] {
  const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;
  const usual = new Set(tls.getCACertificates('bundled').map(fingerprint));
  return tls.getCACertificates('extra').filter((pem) => !usual.has(fingerprint(pem)));
}

/** Variables that send a client to a mirror, as this host's own are sent. */
async function mirrors(): Promise<Record<string, string>> {
  const npm = await promisify(execFile)('npm', ['config', 'get', 'registry']).then(
    ({ stdout }) => stdout.trim(),
    () => '',
  );
  const known = ['PIP_INDEX_URL', 'UV_DEFAULT_INDEX', 'GOPROXY', 'GOSUMDB', 'GONOSUMDB', 'GOFLAGS'];
  const set = known.flatMap((name): [string, string][] => (process.env[name] ? [[name, process.env[name]]] : []));
  return Object.fromEntries([...set, ...(npm === '' ? [] : [['npm_config_registry', npm] as const])]);
}

async function writeFiles(): Promise<void> {
  it.writeBottle(
    'first',
    `
allow: ${JSON.stringify([...allowed].map((host) => `${host} private`))}
env: ${JSON.stringify({ ...(await mirrors()), NPM_CONFIG_UPDATE_NOTIFIER: 'false' })}
git-gate:
  repos:
    app:
      url: https://git.test/team/app.git
      key: {provider: token, token_ref: "file:${gitToken}"}
supervise: true
`,
  );
  it.writeAgent('first', 'bottle: first');
}

interface Ended {
  code: number;
  said: string;
}

async function bottle(...args: string[]): Promise<Ended> {
  const call = promisify(execFile)(process.execPath, [path.join(root, 'dist/client/main.js'), ...args], {
    env: it.env,
    maxBuffer: 64 * 1024 ** 2,
  });
  return call.then(
    ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      code: error.code,
      said: error.stdout + error.stderr,
    }),
  );
}
const asAgent = (script: string): Promise<Ended> => bottle('exec', id, '--', 'sh', '-c', script);
/** Debian packages come by the operator. */
const install = (...packages: string[]): Promise<Ended> =>
  bottle(
    ...['exec', '--user', 'root', id, '--', 'sh', '-c'],
    `apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install --yes -q --no-install-recommends ${packages.join(' ')}`,
  );

interface Asked {
  host: string;
  verdict: string;
  status: number;
}

async function asked(): Promise<Asked[]> {
  const log = await docker.getContainer(bundleName(id)).logs({ stdout: true, stderr: true, follow: false });
  return log
    .toString()
    .split('\n')
    .flatMap((line) => {
      const [json] = /\{"method".*\}$/.exec(line) ?? [];
      return json === undefined ? [] : [JSON.parse(json) as Asked];
    });
}

/** Names that are asked for without being needed: reports to the makers, and what the check of every launch tries. */
const NEEDLESS = /\.invalid$|^1\.1\.1\.1$|claude|anthropic|statsig|sentry/;

/**
 * Runs it until it works, and after each failure lets the bottle reach what it was refused. Where a host of a registry
 * cannot be reached from a container at all, the test is left out, and says so.
 */
async function untilItWorks(context: TestContext, act: () => Promise<Ended>): Promise<string> {
  for (let round = 0; ; round++) {
    const before = (await asked()).length;
    const { code, said } = await act();
    if (code === 0) return said;
    const news = (await asked()).slice(before);
    const refused = news
      .filter(({ verdict, host }) => verdict === 'deny' && !NEEDLESS.test(host))
      .map(({ host }) => host);
    const fresh = [...new Set(refused)].filter((host) => !allowed.has(host));
    if (fresh.length === 0 || round === LEARN_ROUNDS) {
      const unreachable = news.filter(({ status, host }) => status === 502 && allowed.has(host));
      if (unreachable.length === 0) throw new Error(said.slice(-3000));
      const why = `${unreachable[0]?.host} is not reached from a container here`;
      console.warn(`${context.task.name}: left out: ${why}`);
      return context.skip(why);
    }
    for (const host of fresh) allowed.add(host);
    await writeFiles();
    expect(await bottle('apply', id)).toMatchObject({ code: 0 });
  }
}

test('clones its project through the push gate', async () => {
  const { code, said } = await asAgent('git clone -q https://git.test/team/app.git project && ls project');
  expect([code, said]).toEqual([0, expect.stringContaining('package-lock.json')]);
});

test('npm ci, npm test', async (context) => {
  const said = await untilItWorks(context, () => asAgent('cd project && npm ci --no-audit --no-fund && npm test'));
  expect(said).toContain('node: passed');
});

test('pip install -r, in an environment of its own and for its user', async (context) => {
  const own = 'python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/python test.py';
  expect(await untilItWorks(context, () => asAgent(`cd project && ${own}`))).toContain('python: passed');
  const user = 'pip install -q --user -r requirements.txt && python3 test.py';
  expect(await untilItWorks(context, () => asAgent(`cd project && ${user}`))).toContain('python: passed');
});

test('uv', async (context) => {
  const own =
    'uv venv -q .uv && uv pip install -q --python .uv/bin/python -r requirements.txt && .uv/bin/python test.py';
  expect(await untilItWorks(context, () => asAgent(`cd project && ${own}`))).toContain('python: passed');
});

test('the operator adds Debian packages', async (context) => {
  // Debian 12's package `cargo` is too old to read the registry but by git.
  await untilItWorks(context, () => install('cargo-web', 'golang-go'));
});

test('cargo build', async (context) => {
  const build = 'cargo build -q && target/debug/small';
  expect(await untilItWorks(context, () => asAgent(`cd project && ${build}`))).toContain('cargo: passed');
});

test('go build', async (context) => {
  const build = 'go build -o small-go . && ./small-go';
  expect(await untilItWorks(context, () => asAgent(`cd project && ${build}`))).toContain('go: passed');
});
