/**
 * Real programs in a real machine find the way out unasked: egress by its name, hosts of `allow` by the proxy, and what is
 * the machine's own directly. docs/programs.md is the table of what this and test/launch/first-minutes.test.ts have tried.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleName } from '../../src/core/names.ts';
import type { BottleRef } from '../../src/core/step-io.ts';
import { type ActivitySite, activitySite } from '../support/activity-site.ts';
import { plansOf, type Ran, run } from '../support/docker-site.ts';
import { routeTo } from '../support/full-bundle.ts';
import { type PlainHost, plainHost } from '../support/plain-host.ts';
import { startWorld, type World } from '../support/world.ts';

const EGRESS = 'http://egress:9099/';

let site: ActivitySite;
let world: World;
let plain: PlainHost;
let bottle: BottleRef;
const credential = `credential-${randomUUID()}`;

beforeAll(async () => {
  site = await activitySite();
  world = await startWorld({ docker: site.docker, image: site.images.guest });
  plain = await plainHost(site, world.network.name, ['plain.test']);
  const ca = site.write('world-ca.pem', await readFile(world.ca.file));
  const plans = {
    pipelock: { intercept: false, allow: ['echo.test private', 'plain.test private'] },
    egress: { routes: [routeTo('pkg.test', { auth: { scheme: 'Bearer', secret: site.secret(credential) } })] },
    ca,
  };
  bottle = site.bottle('programs');
  const network = await site.network(bottle);
  await site.driver.create(bottle, { ...site.machineSpec(network, plansOf(plans)), image: site.images['guest-full'] });
  await Promise.all([
    site.driver.start(bottle),
    site.step('bundle', site.bundleInput(bottle, network, { plans, uplink: world.network.name })),
  ]);
  await site.step('provision.ca', { bottle, driver: 'docker', intercept: false, ca: { file: ca, digest: 'one' } });
});
afterAll(async () => {
  await site?.dispose();
  await world?.dispose();
});

const inMachine = (argv: readonly string[]): Promise<Ran> => run(site.driver, bottle.id, argv);
/** What is left of what a program said when its line ends and spaces are: the same of all of them. */
const said = async (argv: readonly string[]): Promise<string> => {
  const { exitCode, stdout, stderr } = await inMachine(argv);
  return exitCode === 0 ? stdout.trim() : `exit code ${exitCode}: ${stdout} ${stderr}`;
};

const node = (script: string, url: string): string[] => ['node', '-e', script, url];
const python = (script: string, url: string): string[] => ['python3', '-c', script, url];

/** Each prints the status of a GET. */
const CLIENTS: Record<string, (url: string) => string[]> = {
  curl: (url) => ['curl', '-sS', '-o', '/dev/null', '-w', '%{http_code}', url],
  wget: (url) => [
    'sh',
    '-c',
    'wget -t 1 -S -O /dev/null "$1" 2>&1 | sed -n \'s/^  HTTP.* \\([0-9]*\\) .*/\\1/p\'',
    'sh',
    url,
  ],
  'Node fetch': (url) => node('fetch(process.argv[1]).then((answer) => console.log(answer.status))', url),
  'Node http and https': (url) =>
    node(
      "require('node:' + new URL(process.argv[1]).protocol.slice(0, -1)).get(process.argv[1], (answer) => console.log(answer.statusCode) ?? answer.resume())",
      url,
    ),
  'Python urllib': (url) =>
    python('import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)', url),
  'Python requests, as pip has it': (url) =>
    python('import sys; from pip._vendor import requests; print(requests.get(sys.argv[1]).status_code)', url),
};
/** These know of no proxy at all. */
const PROXYLESS: Record<string, (url: string) => string[]> = {
  'Node fetch with nothing in its environment': (url) => [
    ...['env', '-i', 'PATH=/usr/local/bin:/usr/bin:/bin'],
    ...node('fetch(process.argv[1]).then((answer) => console.log(answer.status))', url),
  ],
  'Python http.client': (url) =>
    python(
      'import sys, http.client, urllib.parse; at = urllib.parse.urlsplit(sys.argv[1]); ask = http.client.HTTPConnection(at.hostname, at.port); ask.request("GET", at.path); print(ask.getresponse().status)',
      url,
    ),
  'a socket': (url) => [
    ...[
      'bash',
      '-c',
      'exec 3<>/dev/tcp/${1%:*}/${1#*:}; printf "GET / HTTP/1.1\\r\\nHost: $1\\r\\nConnection: close\\r\\n\\r\\n" >&3; head -n 1 <&3 | cut -d" " -f2',
    ],
    ...['bash', new URL(url).host],
  ],
};
const all = Object.entries(CLIENTS);

describe('egress, by its name', () => {
  test.each([...all, ...Object.entries(PROXYLESS)])('is 200 to %s', async (_name, client) => {
    expect(await said(client(EGRESS))).toBe('200');
  });

  test('gives what an SDK built on fetch asks for, with the credential put in', async () => {
    const script = `fetch(process.argv[1] + 'pkg.test/tiny', { headers: { authorization: 'Bearer placeholder' } })
      .then((answer) => answer.json()).then(({ name }) => console.log(name))`;
    expect(await said(node(script, EGRESS))).toBe('tiny');
    const asked = (await world.requests()).filter(({ path }) => path === '/tiny');
    expect(asked.map(({ headers }) => headers['authorization'])).toEqual([`Bearer ${credential}`]);
  });
});

describe('a host of `allow`', () => {
  test.each(all)('is reached over TLS by %s, which trusts its CA', async (_name, client) => {
    expect(await said(client('https://echo.test/'))).toBe('200');
  });

  test.each(all)('is reached over plain HTTP by %s', async (name, client) => {
    const marker = `/${randomUUID()}`;
    expect([name, await said(client(`http://plain.test${marker}`))]).toEqual([name, '200']);
    expect((await plain.asked()).filter(({ target }) => target === marker)).toHaveLength(1);
  });

  test.each(all)('that it is not is not reached by %s', async (_name, client) => {
    for (const url of ['https://big.test/', 'http://unlisted.test/']) expect(await said(client(url))).not.toBe('200');
  });
});

describe("a server of the machine's own", () => {
  const PORT = 8123;
  const SERVER = `require('node:http').createServer((_, response) => response.end('mine')).listen(${PORT}, process.argv[1], () => console.log('up'));
    setTimeout(() => {}, 110_000);`;
  /** Docker gives a machine ::1 from Engine 26 on. */
  const hasIpv6 = async () => (await said(['cat', '/proc/net/if_inet6'])).includes(' lo');

  /** What clients say while it listens there. */
  async function answers(listens: string, names: readonly string[], clients = all): Promise<string[]> {
    const start = 'node -e "$1" "$2" >/tmp/up-$3 & echo $!; while [ ! -s /tmp/up-$3 ]; do sleep 0.05; done';
    const pid = await said(['sh', '-c', start, 'sh', SERVER, listens, randomUUID()]);
    try {
      const found: string[] = [];
      for (const name of names) {
        const url = `http://${name}:${PORT}/`;
        found.push(
          ...(await Promise.all(clients.map(async ([client, argv]) => `${client} ${url} ${await said(argv(url))}`))),
        );
      }
      return found;
    } finally {
      await inMachine(['kill', pid]);
    }
  }

  test('at all its addresses is asked directly, by every name it has', async () => {
    const hostname = await said(['hostname']);
    const [, address = ''] = /^(\S+)\s/m.exec(await said(['getent', 'ahostsv4', hostname])) ?? [];
    const found = await answers('0.0.0.0', ['0.0.0.0', '127.0.0.1', 'localhost', hostname, address]);
    expect(found).toHaveLength(5 * all.length);
    expect(found.filter((each) => !each.endsWith(' 200'))).toEqual([]);
  });

  test('at ::1 is asked directly by all but two, which take it for another address when it stands in brackets', async () => {
    // Named in brackets, it would end every program on Python's httpx (machine-proxy-environment.ts).
    const clients = all.filter(([name]) => name !== 'Node fetch' && name !== 'Python urllib');
    if (await hasIpv6()) {
      const found = await answers('::1', ['[::1]'], clients);
      expect(found.filter((each) => !each.endsWith(' 200'))).toEqual([]);
    } else await Promise.all(clients.map(([, argv]) => said(argv(`http://[::1]:${PORT}/`))));
    const log = await site.docker.getContainer(bundleName(bottle.id)).logs({ stdout: true, stderr: true });
    expect(log.toString()).not.toContain('::1');
  });
});

describe('npm, of a registry that is a route of egress', () => {
  const REGISTRY = `${EGRESS}pkg.test/`;
  const LOCK = JSON.stringify({
    name: 'app',
    lockfileVersion: 3,
    requires: true,
    packages: {
      '': { name: 'app', dependencies: { tiny: '1.0.0' } },
      'node_modules/tiny': { version: '1.0.0', resolved: 'https://pkg.test/tiny/-/tiny-1.0.0.tgz' },
    },
  });
  const project = async (script: string): Promise<Ran> =>
    inMachine([
      ...['sh', '-c', `set -e; rm -rf ~/app ~/.npm; mkdir ~/app; cd ~/app; echo "registry=$1" >.npmrc; ${script}`],
      ...['sh', REGISTRY, LOCK],
    ]);

  test('installs a package whose address is at the real host, and writes that into the lock file', async () => {
    const { exitCode, stdout, stderr } = await project(
      'npm init -y >/dev/null; npm install --no-audit --no-fund tiny >&2; node -p "require(\'tiny\')"; cat package-lock.json',
    );
    expect([exitCode, exitCode === 0 ? '' : stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^tiny\n/);
    expect(stdout).toContain('"resolved": "https://pkg.test/tiny/-/tiny-1.0.0.tgz"');
  });

  test('installs what a lock file that was written elsewhere says', async () => {
    const { exitCode, stderr, stdout } = await project(
      `echo '{"name":"app","dependencies":{"tiny":"1.0.0"}}' >package.json; echo "$2" >package-lock.json; npm ci --no-audit --no-fund >&2; node -p "require('tiny')"`,
    );
    expect([exitCode, exitCode === 0 ? '' : stderr, stdout]).toEqual([0, '', 'tiny\n']);
  });
});
