/**
 * What stands at a bundle's way out must do this, be it the real pipelock or the allow-list proxy in its place: tried
 * from a real machine, through a real bundle, against hosts of a world of its own. Where the two differ, and people were
 * told so, each is held to what was said of it.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BundlePlans, Scanner } from '../../src/core/bundle-plans.ts';
import {
  EGRESS_PORT,
  EGRESS_URL,
  GIT_GATE_PORT,
  PIPELOCK_PORT,
  SCANNER_LIMITS,
  SUPERVISE_PORT,
} from '../../src/core/daemons.ts';
import { egressListenHost } from '../../src/core/egress-address.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import type { BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { type DockerSite, plansOf } from '../support/docker-site.ts';
import { fullPlans, routeTo } from '../support/full-bundle.ts';
import { type PlainHost, plainHost } from '../support/plain-host.ts';
import { runIn } from '../support/run-in-container.ts';
import type { Recorded, World } from '../support/world.ts';

export interface ScannerSubject {
  site: DockerSite;
  /** The bundle's way out leads to it. */
  world: World;
}

const MIB = 1024 ** 2;

/** Both ways to ask egress, with what has curl take them. */
type Way = 'by its name' | 'in absolute form';
const WAYS: [Way, string[]][] = [
  ['by its name', []],
  ['in absolute form', ['--noproxy', '']],
];

export function testScanner(kind: Scanner, setUp: () => Promise<ScannerSubject>): void {
  describe(`scanner ${kind}`, () => {
    const isPipelock = kind === 'pipelock';
    const credential = `credential-${randomUUID()}`;
    let site: DockerSite;
    let world: World;
    let plain: PlainHost;
    let input: BundleInput;
    let network: NetworkFacts;
    let bundle: string;
    let machine: string;
    /** Where egress listens, which nobody in the machine is told. */
    let egress: string;

    beforeAll(async () => {
      ({ site, world } = await setUp());
      plain = await plainHost(site, world.network.name, [
        ...['plain.test', 'unlisted.test', 'secretive.test', 'ported.test', 'below.test', 'a.below.test', 'later.test'],
      ]);
      const plans: Partial<BundlePlans> = {
        ...fullPlans({ route: site.secret(credential), repository: site.secret('repository') }),
        pipelock: {
          intercept: false,
          allow: [
            ...['pkg.test private', 'plain.test private', '*.below.test private', 'ported.test:8080 tunnel private'],
            ...['secretive.test', 'loopback.test', 'metadata.test', 'private-metadata.test private'],
            ...['attack.test:9099 private', 'guess.test:9099 private'],
          ],
        },
        egress: {
          routes: [
            routeTo('echo.test', {
              auth: { scheme: 'Bearer', secret: site.secret(credential) },
              // All but what begins as /closed does.
              matches: [{ methods: [], paths: [{ type: 'regex', value: '/([^c].*|c[^l].*)?' }] }],
            }),
            routeTo('big.test'),
          ],
        },
        ca: world.ca.file,
      };
      const home = await site.machine('scanner', plansOf(plans));
      ({ network } = home);
      [bundle, machine] = [bundleName(home.bottle.id), machineName(home.bottle.id)];
      egress = egressListenHost(home.bottle.runId);
      input = site.bundleInput(home.bottle, network, { uplink: world.network.name, scanner: kind, plans });
      await ensureBundle(site, input, new AbortController().signal);
      await site.driver.putFiles(home.bottle.id, [{ path: CA_FILE, mode: 0o644, content: Buffer.from(world.ca.cert) }]);
      // Names that no name server would give away for these addresses, or only a hostile one.
      const hosts = [
        `${egress} loopback.test guess.test`,
        `${EVERYBODYS} attack.test`,
        `${LINK_LOCAL} metadata.test private-metadata.test\n`,
      ].join('\n');
      await runIn(site, bundle, ['sh', '-c', 'printf "%s" "$1" >>/etc/hosts', 'sh', hosts]);
    });
    afterAll(async () => {
      await site?.dispose();
      await world?.dispose();
    });

    /** As the agent, by the way out that its environment names. */
    const curl = (...argv: string[]) =>
      runIn(site, machine, ['curl', '-sS', '--max-time', '60', '--cacert', CA_FILE, ...argv], 'agent');
    const statusOf = async (...argv: string[]): Promise<string> =>
      (await curl('-o', '/dev/null', '-w', '%{http_code}', ...argv)).stdout;
    /** What the scanner answered to the CONNECT that curl makes for an https: address. */
    const connectStatus = async (url: string): Promise<string> =>
      (await curl('-o', '/dev/null', '-w', '%{http_connect}', url)).stdout;
    const node = (script: string, ...argv: string[]) => runIn(site, machine, ['node', '-e', script, ...argv], 'agent');
    const raw = async (...requests: string[]): Promise<string[]> =>
      JSON.parse((await node(RAW, proxy(), JSON.stringify(requests))).stdout) as string[];
    const proxy = (): string => `${network.bundleIp}:${PIPELOCK_PORT}`;
    /** By its name, as NO_PROXY says. */
    const viaEgress = (path: string, ...argv: string[]) => curl(...argv, `${EGRESS_URL}/echo.test${path}`);
    /** Where a client finds egress, and how it asks there. */
    const asks = (way: Way): [place: string, address: string] =>
      way === 'by its name' ? [`${network.bundleIp}:${EGRESS_PORT}`, ''] : [proxy(), EGRESS_URL];
    const echoed = async (marker: string): Promise<Recorded[]> =>
      (await world.requests()).filter(({ path, headers, body }) =>
        (path + JSON.stringify(headers) + body).includes(marker),
      );

    describe('a listed host', () => {
      test('is reached by CONNECT, with its own certificate', async () => {
        expect(await curl('https://pkg.test/tiny')).toMatchObject({
          exitCode: 0,
          stdout: expect.stringContaining('"tiny"'),
        });
      });

      test('is reached in absolute form', async () => {
        const marker = `/${randomUUID()}`;
        expect(
          (await curl('--proxy-header', 'Proxy-Authorization: Basic eDp5', `http://plain.test${marker}?q=1`)).stdout,
        ).toBe(`plain GET ${marker}?q=1`);
        const asked = (await plain.asked()).find(({ target }) => target.startsWith(marker));
        expect(asked).toMatchObject({ port: 80, method: 'GET', headers: { host: 'plain.test' } });
        // What is between the agent and its proxy stays there; pipelock lets one harmless header through.
        const between = Object.keys(asked?.headers ?? {}).filter((name) => name.startsWith('proxy-'));
        expect(between).toEqual(isPipelock ? ['proxy-connection'] : []);
      });

      test('is what a request goes to, whatever host it claims to be for', async () => {
        const marker = `/${randomUUID()}`;
        await curl('-H', 'Host: unlisted.test', `http://plain.test${marker}`);
        const asked = (await plain.asked()).filter(({ target }) => target === marker);
        for (const { headers } of asked) expect(headers['host']).toBe('plain.test');
      });

      test('is reached in every spelling of its name', async () => {
        for (const name of ['PLAIN.Test', 'plain.test.']) expect(await statusOf(`http://${name}/`)).toBe('200');
        expect(await connectStatus('https://PKG.TEST/tiny')).toBe('200');
      });

      test('is not blamed on the allow-list when it cannot be reached', async () => {
        expect(await connectStatus('https://plain.test/')).not.toBe('403');
      });
    });

    describe('an unlisted host', () => {
      test('is refused with 403 by CONNECT and in absolute form, and never asked', async () => {
        const before = (await plain.asked()).length;
        const requests = (await world.requests()).length;
        const inAbsoluteForm = await curl('-w', ' %{http_code}', 'http://unlisted.test/');
        expect(inAbsoluteForm.stdout.replaceAll('\n', '')).toBe('blocked: domain not in allowlist: unlisted.test 403');
        for (const host of ['unlisted.test', 'big.test', 'model.test']) {
          expect(await connectStatus(`https://${host}/`)).toBe('403');
        }
        // A name that ends in a listed one, and a part of one.
        for (const host of ['notplain.test', 'test', 'plain.test.unlisted.test', 'x.plain.test']) {
          expect(await statusOf(`http://${host}/`)).toBe('403');
        }
        expect((await plain.asked()).length).toBe(before);
        expect((await world.requests()).length).toBe(requests);
      });

      test.each([
        'GET http://plain.test@unlisted.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n',
        'GET http://unlisted.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n',
        'GET http:\\\\unlisted.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n',
        'GET //unlisted.test/ HTTP/1.1\r\nHost: unlisted.test\r\n\r\n',
        'GET / HTTP/1.1\r\nHost: unlisted.test\r\n\r\n',
        'CONNECT unlisted.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n',
        'CONNECT plain.test@unlisted.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n',
        'CONNECT plain.test:80:unlisted.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n',
        'CONNECT unlisted.test\0plain.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n',
        'GET ftp://unlisted.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n',
        'GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://unlisted.test/ HTTP/1.1\r\nHost: unlisted.test\r\n\r\n',
      ])('is not reached by a trick: %j', async (request) => {
        const before = (await plain.asked()).filter(({ headers }) => headers['host'] !== 'plain.test').length;
        await raw(request);
        const after = (await plain.asked()).filter(({ headers }) => headers['host'] !== 'plain.test');
        expect(after.length).toBe(before);
      });
    });

    describe('an address', () => {
      test.each([
        ['of the world', () => [world.address, plain.address]],
        ['of this bundle', () => [network.bundleIp, '127.0.0.1', egress, '0.0.0.0', '[::1]', `[::ffff:${egress}]`]],
        [
          'of this bundle, spelled otherwise',
          () => {
            const number = numberOf(egress);
            return [
              `${number}`,
              `0x${number.toString(16)}`,
              egress.replace('127', '0177'),
              '127.2',
              'localhost',
              '①27.0.0.2',
            ];
          },
        ],
        [
          'of a cloud that tells secrets',
          () => ['169.254.169.254', '[fd00:ec2::254]', '[::ffff:169.254.169.254]', '2852039166'],
        ],
        ['of the internet', () => ['1.1.1.1', '[2606:4700:4700::1111]']],
      ])('%s is refused, at any port and either way', async (_whose, addresses) => {
        const requests = addresses().flatMap((address) =>
          [80, 443, 9099].flatMap((port) => [
            `GET http://${address}:${port}/echo.test/x HTTP/1.1\r\nHost: ${address}\r\n\r\n`,
            `CONNECT ${address}:${port} HTTP/1.1\r\nHost: ${address}\r\n\r\n`,
          ]),
        );
        const answers = await raw(...requests);
        const wrong = requests.filter((_, at) => !/^HTTP\/1\.1 4\d\d /.test(answers[at] ?? ''));
        expect(wrong).toEqual([]);
      });
    });

    describe('a name that leads to a private address', () => {
      test('is refused unless its entry says that it may', async () => {
        const before = (await plain.asked()).length;
        expect(await statusOf('http://secretive.test/')).toBe('403');
        expect(await connectStatus('https://secretive.test/')).toBe('403');
        expect((await plain.asked()).length).toBe(before);
        expect(await statusOf('http://plain.test/')).toBe('200');
      });

      test('of the bundle itself is refused too', async () => {
        const marker = `/${randomUUID()}`;
        expect(await statusOf(`http://loopback.test:9099/echo.test${marker}`)).toBe('403');
        const tunnel = await node(TUNNEL, proxy(), 'loopback.test:9099', getOf(`/echo.test${marker}`));
        expect(tunnel.stdout).toMatch(/^HTTP\/1\.1 403/);
        expect(await echoed(marker)).toEqual([]);
      });

      test('of a private entry does not find egress at an address that everybody knows', async () => {
        const marker = `/${randomUUID()}`;
        const [, anthropic] = secretsOfAgent();
        const request = getOf(`/echo.test${marker}`, `X-Leak: ${anthropic}`);
        for (const script of [TUNNEL, TLS_TUNNEL]) {
          const { stdout } = await node(script, proxy(), 'attack.test:9099', request);
          expect(stdout).toMatch(/^HTTP\/1\.1 502/);
          expect(stdout).not.toContain('bodyLength');
        }
        expect(await statusOf(`http://attack.test:9099/echo.test${marker}`)).toBe('502');
        expect(await echoed(marker)).toEqual([]);
        expect(await echoed(anthropic)).toEqual([]);
      });

      test('of the kind that clouds tell secrets at is refused too', async () => {
        expect(await statusOf('http://metadata.test/latest')).toBe('403');
        const [answer] = await raw('CONNECT metadata.test:80 HTTP/1.1\r\nHost: metadata.test\r\n\r\n');
        expect(answer).toMatch(/^HTTP\/1\.1 403/);
      });
    });

    describe('egress', () => {
      test.each(WAYS)(
        'is reached %s, where the credential is put in the place of whatever the agent sends',
        async (_way, argv) => {
          const marker = `/${randomUUID()}`;
          const own = ['-H', 'Authorization: Bearer mine', '-d', '{"a":1}'];
          const { exitCode, stdout } = await viaEgress(marker, ...argv, ...own);
          expect([exitCode, JSON.parse(stdout)]).toMatchObject([0, { method: 'POST', path: marker, bodyLength: 7 }]);
          expect((await echoed(marker)).map(({ headers }) => headers['authorization'])).toEqual([
            `Bearer ${credential}`,
          ]);
          expect(stdout).not.toContain(credential);
        },
      );

      test.each(WAYS)(
        '%s passes server-sent events as they come: the first of a stream that lasts for hours',
        async (way) => {
          const [place, address] = asks(way);
          const read = await node(FIRST_EVENTS, place, `${address}/echo.test/slow-sse?n=5000&ms=1000`, '2');
          expect(read.stdout).toBe('event: tick\ndata: 0\n\nevent: tick\ndata: 1\n\n');
        },
      );

      test('is asked by clients that know no proxy: plain fetch, also with what an SDK puts together', async () => {
        const marker = `/${randomUUID()}`;
        const script = `(async () => {
          const answer = await fetch(process.argv[1], { method: 'POST', body: 'x' });
          console.log(answer.status, (await answer.json()).bodyLength);
        })();`;
        const bare = ['env', '-i', 'PATH=/usr/local/bin:/usr/bin:/bin', 'node', '-e', script];
        const { stdout } = await runIn(site, machine, [...bare, `${EGRESS_URL}/echo.test${marker}`], 'agent');
        expect(stdout).toBe('200 1\n');
        expect((await echoed(marker)).map(({ headers }) => headers['authorization'])).toEqual([`Bearer ${credential}`]);
      });

      test('is not reached directly: its port is closed in the machine and on its own address', async () => {
        for (const host of ['127.0.0.1', egress]) {
          expect(await curl('--noproxy', '*', `http://${host}:9099/`)).toMatchObject({ exitCode: 7, stdout: '' });
        }
      });

      test("what stands at its port of the bundle's address passes on what is for egress, and nothing else", async () => {
        const marker = `/${randomUUID()}`;
        const before = (await plain.asked()).length;
        const front = `${network.bundleIp}:${EGRESS_PORT}`;
        const requests = [
          `GET /echo.test${marker} HTTP/1.1\r\nHost: ${front}\r\nConnection: close\r\n\r\n`,
          `GET http://plain.test${marker} HTTP/1.1\r\nHost: egress:9099\r\nConnection: close\r\n\r\n`,
          `GET ${marker} HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n`,
          `GET /echo.test${marker} HTTP/1.1\r\nHost: egress:9099@plain.test\r\nConnection: close\r\n\r\n`,
          'CONNECT plain.test:80 HTTP/1.1\r\nHost: plain.test:80\r\n\r\n',
          'CONNECT egress:9099 HTTP/1.1\r\nHost: egress:9099\r\n\r\n',
        ];
        const { stdout } = await node(RAW, front, JSON.stringify(requests));
        const answers = JSON.parse(stdout) as string[];
        expect(answers.map((each) => each.slice(9, 12))).toEqual(['421', '421', '421', '421', '405', '405']);
        for (const script of [TUNNEL, TLS_TUNNEL]) {
          const tunnel = await node(script, front, 'egress:9099', getOf(`/echo.test${marker}`));
          expect(tunnel.stdout).not.toContain('bodyLength');
        }
        expect((await plain.asked()).length).toBe(before);
        expect(await echoed(marker)).toEqual([]);
      });

      test('what the scanner refuses is refused by its name too, in its words', async () => {
        const marker = `/${randomUUID()}`;
        const [, anthropic] = secretsOfAgent();
        const refused = isPipelock
          ? [`${marker}?key=${anthropic}`]
          : [marker, '-X', 'GET', '-H', 'Transfer-Encoding: chunked', '-d', 'unframed'];
        const [path = '', ...argv] = refused;
        const answers = await Promise.all(
          WAYS.map(async ([, how]) => (await viaEgress(path, ...how, ...argv, '-w', ' %{http_code}')).stdout),
        );
        expect(answers[0]).toBe(answers[1]);
        expect(answers[0]).toMatch(isPipelock ? / 403$/ : / 411$/);
        expect(await echoed(marker)).toEqual([]);
      });

      test.each(['egress:9099', 'EGRESS:9099', 'egress.:9099', 'egress:80', 'egress:443'])(
        'is not reached by a tunnel past whoever looks at requests: CONNECT %s',
        async (authority) => {
          const marker = `/${randomUUID()}`;
          const plainly = await node(TUNNEL, proxy(), authority, getOf(`/echo.test${marker}`));
          expect(plainly.stdout).not.toMatch(/^HTTP\/1\.1 200 OK/m);
          expect(plainly.stdout).not.toContain('bodyLength');
          const byTls = await node(TLS_TUNNEL, proxy(), authority, getOf(`/echo.test${marker}`));
          expect(byTls.stdout).not.toContain('bodyLength');
          expect(await echoed(marker)).toEqual([]);
          expect(await echoed(`"x-leak":"${marker}"`)).toEqual([]);
        },
      );

      test.each(['egress', 'egress:9099', 'EGRESS. private'])(
        'is not opened to tunnels by an entry of its own name either: %s',
        async (entry) => {
          const marker = `/${randomUUID()}`;
          const plans = {
            ...input.plans,
            pipelock: { allow: [...input.plans.pipelock.allow, entry], intercept: false },
          };
          const ensured = ensureBundle(site, { ...input, plans }, new AbortController().signal);
          await expect(ensured).rejects.toThrow("is the bundle's own");
          const { stdout } = await node(TUNNEL, proxy(), 'egress:9099', getOf(`/echo.test${marker}`));
          expect(stdout).not.toContain('bodyLength');
          expect(await echoed(marker)).toEqual([]);
        },
      );

      test.each([80, 443, 22, 9000, PIPELOCK_PORT, SUPERVISE_PORT, GIT_GATE_PORT])(
        'is all that its name leads to: nothing at http://egress:%i/',
        async (port) => {
          const proxied = ['--noproxy', ''];
          const { stdout } = await curl(...proxied, '-w', ' %{http_code}', `http://egress:${port}/health`);
          expect(stdout.slice(-3)).toMatch(/^(403|502)$/);
          expect(await statusOf(...proxied, `http://egress:${port}/app.git/info/refs?service=git-upload-pack`)).toMatch(
            /^(403|502)$/,
          );
        },
      );

      test('takes no upgrade, and no tunnel inside of a request', async () => {
        const marker = `/${randomUUID()}`;
        const upgrade = `GET ${EGRESS_URL}/echo.test${marker} HTTP/1.1\r\nHost: egress:9099\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
        expect((await raw(upgrade))[0]).not.toMatch(/^HTTP\/1\.1 101/);
        for (const { headers } of await echoed(marker)) expect(headers['upgrade']).toBeUndefined();
      });

      test.each(WAYS)('%s takes a long upload up to the limit, and what is longer is refused, not cut', async (way) => {
        const [place, address] = asks(way);
        const [fits, exceeds] = [2 * MIB, SCANNER_LIMITS.requestMiB * MIB + (way === 'by its name' ? 1 : 2)];
        const upload = (bytes: number) => node(UPLOAD, place, `${address}/echo.test/upload-${bytes}`, String(bytes));
        expect(JSON.parse((await upload(fits)).stdout)).toEqual({ status: 200, bodyLength: fits });
        const long = JSON.parse((await upload(exceeds)).stdout) as { status: number; bodyLength?: number };
        // The allow-list proxy looks at none of it.
        expect(long).toEqual(isPipelock ? { status: 403 } : { status: 200, bodyLength: exceeds });
        const seen = await echoed(`/upload-${exceeds}`);
        expect(seen.map(({ bodyBytes }) => bodyBytes)).toEqual(isPipelock ? [] : [exceeds]);
      });

      test.each(WAYS)(
        '%s gives a long answer whole, and what is longer than the limit not at all',
        async (_way, argv) => {
          const download = async (bytes: number): Promise<{ status: string; size: number; code: number }> => {
            const { exitCode, stdout } = await viaEgress(
              `/bytes?n=${bytes}`,
              ...argv,
              '-o',
              '/tmp/download',
              '-w',
              '%{http_code}',
            );
            const { stdout: size } = await runIn(site, machine, ['stat', '-c', '%s', '/tmp/download']);
            return { status: stdout, size: Number(size), code: exitCode };
          };
          expect(await download(MIB)).toEqual({ status: '200', size: MIB, code: 0 });
          const long = await download(SCANNER_LIMITS.responseMiB * MIB + 1);
          if (isPipelock) expect(long).toMatchObject({ status: '502' });
          else expect(long).toEqual({ status: '200', size: SCANNER_LIMITS.responseMiB * MIB + 1, code: 0 });
        },
      );
    });

    test('a tunnel carries more than any limit, both ways, unchanged', async () => {
      const { url, sha256 } = world.pkg.file;
      const bytes = 17 * MIB;
      const { stdout } = await runIn(
        site,
        machine,
        ['sh', '-c', `curl -sS --cacert ${CA_FILE} "$1" | sha256sum`, 'sh', url],
        'agent',
      );
      expect(stdout.slice(0, 64)).toBe(sha256);
      const upload = `head -c ${bytes} /dev/zero >/tmp/upload && curl -sS --cacert ${CA_FILE} -T /tmp/upload -o /dev/null "$1"`;
      await runIn(site, machine, ['sh', '-c', upload, 'sh', `https://pkg.test/upload-${bytes}`], 'agent');
      expect((await echoed(`/upload-${bytes}`)).map(({ bodyBytes }) => bodyBytes)).toEqual([bytes]);
    });

    describe('a change of the allow-list', () => {
      const ensure = (allow: string[]) =>
        ensureBundle(
          site,
          { ...input, plans: { ...input.plans, pipelock: { allow, intercept: false } } },
          new AbortController().signal,
        );

      test('counts at once, both ways, and leaves the rest as it was', async () => {
        expect(await statusOf('http://later.test/')).toBe('403');
        await ensure([...input.plans.pipelock.allow, 'later.test private']);
        expect(await statusOf('http://later.test/')).toBe('200');
        expect(await statusOf('http://plain.test/')).toBe('200');
        await ensure(input.plans.pipelock.allow);
        expect(await statusOf('http://later.test/')).toBe('403');
        expect(await statusOf('http://unlisted.test/')).toBe('403');
        expect(await connectStatus('https://pkg.test/tiny')).toBe('200');
        expect((await viaEgress('/still', '-o', '/dev/null', '-w', '%{http_code}')).stdout).toBe('200');
      });
    });

    describe('where the two differ', () => {
      test('a port in an entry', async () => {
        expect(await statusOf('http://ported.test:8080/')).toBe('200');
        // pipelock's list knows names alone.
        expect(await statusOf('http://ported.test/')).toBe(isPipelock ? '200' : '403');
        expect(await statusOf('http://plain.test:8080/')).toBe(isPipelock ? '200' : '403');
      });

      test('a wildcard, and the name that it is below', async () => {
        expect(await statusOf('http://a.below.test/')).toBe('200');
        expect(await statusOf('http://below.test/')).toBe(isPipelock ? '200' : '403');
        expect(await statusOf('-d', 'a=1', 'http://a.below.test/')).toBe('200');
      });

      test('a private entry whose owner has guessed where egress listens', async () => {
        const marker = `/${randomUUID()}`;
        const { stdout } = await node(TUNNEL, proxy(), 'guess.test:9099', getOf(`/echo.test${marker}`));
        // One guess in 16 million is right; pipelock asks nobody where a trusted name leads.
        expect(/^HTTP\/1\.1 200/.test(stdout)).toBe(isPipelock);
        expect((await echoed(marker)).length).toBe(isPipelock ? 1 : 0);
      });

      test('a private entry whose name leads to the metadata service of a cloud', async () => {
        // To pipelock an entry is private or not. Nobody is at that address.
        expect(await statusOf('--max-time', '5', 'http://private-metadata.test/')).not.toBe(isPipelock ? '403' : '000');
        if (!isPipelock) expect(await statusOf('http://private-metadata.test/')).toBe('403');
      });

      test.each(WAYS)('a secret of the agent in a header, a form or an address, sent %s', async (_way, how) => {
        const [aws, anthropic] = secretsOfAgent();
        const tries: [string, string[]][] = [
          [aws, ['-H', `X-Token: ${aws}`]],
          [anthropic, ['-H', `X-Api-Key: ${anthropic}`]],
          [aws, ['-d', `note=${aws}`]],
          [anthropic, ['-d', `note=${anthropic}`]],
          [anthropic, ['-H', 'Content-Type: text/plain', '--data-binary', `a\nb ${anthropic} c`]],
          [anthropic, ['-H', 'Content-Type: application/json', '-d', JSON.stringify({ deep: [{ key: anthropic }] })]],
          [anthropic, ['-H', 'Transfer-Encoding: chunked', '-d', `note=${anthropic}`]],
          [anthropic, ['-F', `file=@-;filename=${anthropic}`]],
        ];
        for (const [secret, argv] of tries) {
          const marker = `/${randomUUID()}`;
          const { stdout } = await viaEgress(marker, ...how, '-o', '/dev/null', '-w', '%{http_code}', ...argv);
          expect({ argv, status: stdout }).toEqual({ argv, status: isPipelock ? '403' : '200' });
          const leaked = (await echoed(marker)).filter((request) => JSON.stringify(request).includes(secret));
          // The api key's header is not the agent's to send, scanned or not.
          const expected = isPipelock || argv.join().includes('X-Api-Key') ? 0 : 1;
          expect({ argv, leaked: leaked.length }).toEqual({ argv, leaked: expected });
        }
        const status = ['-o', '/dev/null', '-w', '%{http_code}'];
        const inAddress = await viaEgress(`/${randomUUID()}?key=${anthropic}`, ...how, ...status);
        expect(inAddress.stdout).toBe(isPipelock ? '403' : '200');
        expect((await echoed(`key=${anthropic}`)).length).toBe(isPipelock ? 0 : 1);
      });

      test('a key that was read and is sent as JSON ever after: it is replaced, and the request goes on', async () => {
        const [aws] = secretsOfAgent();
        const marker = `/${randomUUID()}`;
        const body = JSON.stringify({ messages: [{ role: 'user', content: `my key is ${aws}` }] });
        const { stdout } = await viaEgress(
          marker,
          '-o',
          '/dev/null',
          '-w',
          '%{http_code}',
          '-H',
          'Content-Type: application/json',
          '-d',
          body,
        );
        expect(stdout).toBe('200');
        const [request] = await echoed(marker);
        expect(request?.body).toContain(isPipelock ? 'my key is <pl:aws-access-key:1>' : `my key is ${aws}`);
        expect(request?.body.includes(aws)).toBe(!isPipelock);
      });
    });

    test.runIf(isPipelock)(
      'its /fetch is a GET in another form: no other host, no other rule, nothing unscanned',
      async () => {
        const marker = `/${randomUUID()}`;
        const [, anthropic] = secretsOfAgent();
        const fetched = async (url: string): Promise<string> => {
          const address = `http://${proxy()}/fetch?url=${encodeURIComponent(url)}`;
          return (await curl('--noproxy', '*', '-w', ' %{http_code}', address)).stdout;
        };
        const allowed = await fetched(`${EGRESS_URL}/echo.test${marker}`);
        expect(allowed).toMatch(/ 200$/);
        expect(allowed).not.toContain(credential);
        expect((await echoed(marker)).map(({ method }) => method)).toEqual(['GET']);
        expect(await fetched(`${EGRESS_URL}/echo.test/closed${marker}`)).not.toContain('bodyLength');
        expect(await fetched(`${EGRESS_URL}/echo.test/?key=${anthropic}`)).toMatch(/ 403$/);
        const before = (await plain.asked()).length;
        for (const to of [
          `http://unlisted.test${marker}`,
          `http://${egress}:9099/echo.test${marker}`,
          'http://secretive.test/',
        ]) {
          const answer = await fetched(`${EGRESS_URL}/echo.test/redirect?to=${encodeURIComponent(to)}`);
          expect(answer).not.toMatch(/plain GET|bodyLength/);
        }
        expect((await plain.asked()).length).toBe(before);
        expect((await echoed(marker)).filter(({ path }) => path === marker)).toHaveLength(1);
        expect(await echoed(anthropic)).toEqual([]);
      },
    );

    test('its own answers lead nowhere: not to an unlisted host, not to a credential, not to its settings', async () => {
      const marker = `/${randomUUID()}`;
      const before = (await plain.asked()).length;
      const own = async (path: string, ...argv: string[]) =>
        (await curl('--noproxy', '*', '-w', ' %{http_code}', ...argv, `http://${proxy()}${path}`)).stdout;
      const asked = [
        ...[
          'http://unlisted.test/',
          `http://${egress}:9099/echo.test`,
          'http://169.254.169.254/',
          'file:///etc/passwd',
        ],
        ...[
          'https://big.test/',
          `http://${network.bundleIp}:9100/mcp`,
          'http://secretive.test/',
          'http://metadata.test/',
        ],
      ];
      for (const url of asked) {
        expect({ url, answer: await own(`/fetch?url=${encodeURIComponent(url + marker)}`) }).toEqual({
          url,
          answer: expect.stringMatching(isPipelock ? / 40[0-9]$/ : / 404$/),
        });
      }
      for (const path of [
        '/ws?url=ws://unlisted.test/',
        '/api/v1/sessions',
        '/config',
        '/debug/pprof/',
        '/admin',
        '/mcp',
      ]) {
        expect({ path, answer: await own(path) }).toEqual({ path, answer: expect.stringMatching(/ 40[0-9]$/) });
      }
      for (const path of ['/stats', '/metrics', '/health']) {
        const answer = await own(path);
        for (const secret of [credential, site.owner]) expect(answer).not.toContain(secret);
      }
      expect((await plain.asked()).length).toBe(before);
      expect(await echoed(marker)).toEqual([]);
    });
  });
}

/** Link-local as the metadata services of clouds are, but with nobody there. */
const LINK_LOCAL = '169.254.77.77';
/** Where egress listened in every bundle once. */
const EVERYBODYS = '127.0.0.2';
const CA_FILE = '/etc/world-ca.pem';

/** Shaped like what scanners know; made here, so that no scanner takes this file for a leak. */
function secretsOfAgent(): [aws: string, anthropic: string] {
  const letters = randomBytes(16)
    .toString('hex')
    .toUpperCase()
    .replace(/[^A-Z2-7]/g, 'Q')
    .slice(0, 16);
  return [`AKIA${letters}`, `sk-ant-${'api03'}-${randomBytes(24).toString('hex')}`];
}

const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);

const getOf = (path: string, header = `X-Leak: ${path}`): string =>
  `GET ${path} HTTP/1.1\r\nHost: egress:9099\r\n${header}\r\nConnection: close\r\n\r\n`;

/** Sends each thing to a proxy on a connection of its own; what came back until it was whole, ended, or nothing came. */
const RAW = `
const [host, port] = process.argv[1].split(':');
const ask = (request) => new Promise((resolve) => {
  let answer = '';
  const socket = require('node:net').connect(port, host, () => socket.write(request));
  socket.setTimeout(2500, () => socket.destroy());
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1');
    const [head, ...body] = answer.split('\\r\\n\\r\\n');
    const length = /^content-length: (\\d+)/im.exec(head);
    if (length !== null && body.join('\\r\\n\\r\\n').length >= Number(length[1])) socket.destroy();
  });
  socket.on('error', () => {}).on('close', () => resolve(answer));
});
Promise.all(JSON.parse(process.argv[2]).map(ask)).then((answers) => console.log(JSON.stringify(answers)));`;

/** The same through a tunnel: asks for it, and sends once the proxy has answered. */
const TUNNEL = `
const [host, port] = process.argv[1].split(':');
const socket = require('node:net').connect(port, host, () => socket.write('CONNECT ' + process.argv[2] + ' HTTP/1.1\\r\\nHost: ' + process.argv[2] + '\\r\\n\\r\\n'));
socket.setTimeout(3000, () => socket.destroy());
socket.once('data', () => socket.write(process.argv[3]));
socket.on('data', (chunk) => process.stdout.write(chunk)).on('error', () => {});`;

const TLS_TUNNEL = `
const [host, port] = process.argv[1].split(':');
const socket = require('node:net').connect(port, host, () => socket.write('CONNECT ' + process.argv[2] + ' HTTP/1.1\\r\\nHost: ' + process.argv[2] + '\\r\\n\\r\\n'));
socket.setTimeout(4000, () => socket.destroy());
socket.once('data', (answer) => {
  process.stdout.write(answer);
  const secure = require('node:tls').connect({ socket, servername: 'egress', rejectUnauthorized: false }, () => secure.write(process.argv[3]));
  secure.on('data', (chunk) => process.stdout.write(chunk)).on('error', () => {});
});
socket.on('error', () => {});`;

/** Prints the first so many events of a stream, then leaves. */
const FIRST_EVENTS = `
const [host, port] = process.argv[1].split(':');
require('node:http').get({ host, port, path: process.argv[2], headers: { host: 'egress:9099' } }, (response) => {
  let read = '';
  response.setEncoding('utf8').on('data', (text) => {
    read += text;
    if (read.split('\\n\\n').length > Number(process.argv[3])) {
      process.stdout.write(read);
      process.exit();
    }
  });
});`;

/** Sends so many bytes of text that no scanner finds anything in; prints status and what the other side has counted. */
const UPLOAD = `
const [host, port] = process.argv[1].split(':');
const bytes = Number(process.argv[3]);
const headers = { host: 'egress:9099', 'content-type': 'text/plain', 'content-length': bytes };
const request = require('node:http').request({ host, port, method: 'POST', path: process.argv[2], headers }, async (response) => {
  let text = '';
  for await (const chunk of response) text += chunk;
  const { bodyLength } = response.statusCode === 200 ? JSON.parse(text) : {};
  console.log(JSON.stringify({ status: response.statusCode, bodyLength }));
  process.exit();
});
request.on('error', () => {});
const line = Buffer.from('The quick brown fox jumps over the lazy dog, again and again.\\n'.repeat(1024));
let left = bytes;
(function more() {
  while (left > 0) {
    const piece = line.subarray(0, left);
    left -= piece.length;
    if (!request.write(piece)) return request.once('drain', more);
  }
  request.end();
})();`;
