/** A bottle in the network of a company: no way out but a real proxy, which wants a login. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { BundlePlans } from '../../src/core/bundle-plans.ts';
import { EGRESS_URL, GIT_GATE_PORT } from '../../src/core/daemons.ts';
import { bundleName } from '../../src/core/names.ts';
import type { ProxyPlan } from '../../src/core/network-proxy.ts';
import type { SecretRef } from '../../src/core/secret-ref.ts';
import type { BottleRef, BundleInput, NetworkFacts } from '../../src/core/step-io.ts';
import { ensureBundle } from '../../src/host/bundle.ts';
import { ensureCustomImage } from '../../src/host/custom-image.ts';
import { tryWayOut, type WayOut } from '../../src/host/way-out.ts';
import { type CompanyNetwork, companyNetwork } from '../support/company-proxy.ts';
import { type DockerSite, dockerSite, plansOf, run } from '../support/docker-site.ts';
import { repository, routeTo } from '../support/full-bundle.ts';
import { gitleaksDirectory } from '../support/gitleaks.ts';
import { startWorld, type World } from '../support/world.ts';

const never = new AbortController().signal;
const gitleaks = gitleaksDirectory();
const PLAIN = `require('http').createServer((request, response) => response.end(request.headers.host + request.url)).listen(80)`;

let site: DockerSite;
let world: World;
let company: CompanyNetwork;
let home: { bottle: BottleRef; network: NetworkFacts };
let input: BundleInput;

/** The proxy as a plan has it. */
let proxy: ProxyPlan;
let password: SecretRef;

beforeAll(async () => {
  site = await dockerSite();
  world = await startWorld({ docker: site.docker, image: site.images.guest });
  company = await companyNetwork(site.docker, site.images.guest, world);
  await site.stranger({
    Cmd: ['node', '-e', PLAIN],
    User: 'root',
    HostConfig: { NetworkMode: world.network.name },
    NetworkingConfig: { EndpointsConfig: { [world.network.name]: { Aliases: ['plain.test'] } } },
  });
  password = site.secret(company.proxy.password);
  const { host, port, username } = company.proxy;
  proxy = { host, port, username, password, noProxy: [] };
  const plans: Partial<BundlePlans> = {
    pipelock: { allow: ['pkg.test', 'plain.test:80', 'git.test'], intercept: false },
    egress: {
      routes: [
        routeTo('model.test', {
          id: 'anthropic',
          private: false,
          auth: { scheme: 'header', header: 'x-api-key', secret: site.secret(world.modelKey) },
        }),
      ],
    },
    gitGate: {
      repos: [
        repository('app', 'https://git.test/team/app.git', {
          key: { kind: 'token', user: 'agent', secret: site.secret(world.gitToken) },
        }),
      ],
    },
    ca: world.ca.file,
    proxy,
  };
  home = await site.machine('corp', plansOf(plans));
  input = site.bundleInput(home.bottle, home.network, { uplink: company.name, plans });
  await ensureBundle(site, input, never);
  await site.driver.putFiles(home.bottle.id, [
    { path: '/tmp/world.pem', mode: 0o644, content: Buffer.from(world.ca.cert) },
  ]);
});
afterAll(async () => {
  await site?.dispose();
  await company?.dispose();
  await world?.dispose();
});

const agent = (script: string) => run(site.driver, home.bottle.id, ['sh', '-c', script]);
const CURL = 'curl -sS --max-time 60 --cacert /tmp/world.pem';
const TUNNEL = 'CONNECT';

describe('by its proxy, and by nothing else,', () => {
  test('the model answers', async () => {
    const body = JSON.stringify({ model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'hello' }] });
    const { stdout } = await agent(
      `${CURL} -w ' %{http_code}' -H 'content-type: application/json' -d '${body}' ${EGRESS_URL}/anthropic/v1/messages`,
    );
    expect(stdout).toMatch(/"type":"message".* 200$/s);
    expect(await company.asked()).toContain(`${TUNNEL} model.test:443 HTTP/1.1`);
  });

  test('an allowed host is reached, by a tunnel and by plain HTTP', async () => {
    expect((await agent(`${CURL} https://pkg.test/tiny`)).stdout).toContain('"name":"tiny"');
    expect((await agent(`${CURL} 'http://plain.test/a?b=1'`)).stdout).toBe('plain.test/a?b=1');
    const asked = await company.asked();
    expect(asked).toContain(`${TUNNEL} pkg.test:443 HTTP/1.1`);
    expect(asked).toContain('GET http://plain.test/a?b=1 HTTP/1.1');
  });

  test.skipIf(gitleaks === undefined)('a repository is cloned from and pushed to', async () => {
    const gate = `http://${home.network.bundleIp}:${GIT_GATE_PORT}/app.git`;
    const script = `set -e; cd /tmp; rm -rf app; git clone -q ${gate} app; cd app; git config user.name a; git config user.email a@a.test
      git checkout -q -b corp; echo x >x; git add x; git commit -q -m x; git push -q origin corp; git rev-parse HEAD`;
    const pushed = await agent(script);
    expect(pushed).toMatchObject({ exitCode: 0 });
    expect((await world.refs('team/app'))['refs/heads/corp']).toBe(pushed.stdout.trim());
    expect(await company.asked()).toContain(`${TUNNEL} git.test:443 HTTP/1.1`);
  });

  test('and its password is in no environment, label or log of the bundle, and on no disk but as the login of git', async () => {
    const name = bundleName(home.bottle.id);
    const logs = await site.docker.getContainer(name).logs({ stdout: true, stderr: true, follow: false });
    const seen = JSON.stringify(await site.inspect(name)) + logs.toString();
    expect(seen).toContain('pkg.test');
    expect(seen).not.toContain(company.proxy.password);
    expect(seen).not.toContain(Buffer.from(`${company.proxy.username}:${company.proxy.password}`).toString('base64'));
    const belongings = await agent('cat /proc/[0-9]*/environ; env');
    expect(belongings.stdout).not.toContain(company.proxy.password);
  });
});

describe('what goes wrong is told by name:', () => {
  const statusAndReason = async (url: string) =>
    (await agent(`${CURL} -w ' %{http_code}' ${url}`)).stdout.replace('\n', '');
  const viaEgress = () => statusAndReason(`${EGRESS_URL}/anthropic/v1/models`);
  const tunnelled = async (host: string) =>
    (await agent(`${CURL} -o /dev/null -w '%{http_connect}' https://${host}/`)).stdout;
  const gate = () => agent(`git ls-remote http://${home.network.bundleIp}:${GIT_GATE_PORT}/app.git 2>&1`);
  const withPlans = (change: Partial<BundlePlans>) =>
    ensureBundle(site, { ...input, plans: { ...input.plans, ...change } }, never);

  test('a login that it refuses', async () => {
    await withPlans({ proxy: { ...proxy, password: site.secret('wrong') } });
    // tinyproxy answers 401 where others answer 407.
    expect(await viaEgress()).toBe('failed: the proxy http://proxy.corp:3128 refuses its login (401) 502');
    expect(await tunnelled('pkg.test')).toBe('502');
    if (gitleaks !== undefined) expect((await gate()).stdout).toContain('git-gate: the proxy refuses the login');
  });

  test('a login that it wants', async () => {
    await withPlans({ proxy: { ...proxy, username: null, password: null } });
    const wanted = 'failed: the proxy http://proxy.corp:3128 wants a login (407) 502';
    expect([await viaEgress(), await statusAndReason('http://plain.test/')]).toEqual([wanted, wanted]);
  });

  test('a proxy that is not there', async () => {
    await withPlans({ proxy: { ...proxy, host: 'other.corp' } });
    expect(await viaEgress()).toMatch(/^failed: cannot resolve the proxy other\.corp \(\w+\) 502$/);
    await withPlans({ proxy: { ...proxy, port: 1 } });
    expect(await viaEgress()).toBe('failed: cannot connect to the proxy http://proxy.corp:1 (ECONNREFUSED) 502');
  });

  test('no proxy at all, in a network that has no other way out: a name that cannot be resolved, and no policy', async () => {
    await withPlans({ proxy: undefined });
    // A name server that is not there takes its time: all at once.
    const [model, listed, unlisted, repository] = await Promise.all([
      viaEgress(),
      tunnelled('pkg.test'),
      tunnelled('unlisted.test'),
      gate(),
    ]);
    expect(model).toMatch(/^failed: cannot resolve model\.test\b.* 502$/);
    expect([listed, unlisted]).toEqual(['502', '403']);
    if (gitleaks !== undefined) {
      expect(repository.stdout).toContain("git-gate: the upstream's name cannot be resolved");
    }
  });

  test('a proxy that is cut off from the world, and all is well when it is back', async () => {
    await withPlans({});
    await company.cut();
    try {
      expect(await viaEgress()).toMatch(
        /^failed: the proxy http:\/\/proxy\.corp:3128 cannot reach model\.test:443 \(5\d\d\) 502$/,
      );
    } finally {
      await company.mend();
    }
    expect(await statusAndReason('http://plain.test/')).toBe('plain.test/ 200');
  });
});

describe('the way out is tried as a bundle would go', () => {
  const way = (change: Partial<WayOut> = {}): WayOut => ({
    image: site.images.bundle,
    uplink: company.name,
    host: 'model.test',
    port: 443,
    ca: world.ca.file,
    proxy,
    timeoutMs: 6000,
    ...change,
  });

  test('and somebody is reached, by the proxy and with the CA of the company', async () => {
    expect(await tryWayOut(site.docker, way())).toEqual({ reached: true });
  });

  test.each<[string, Partial<WayOut>, 'connection' | 'certificate', RegExp]>([
    ['without that CA', { ca: null }, 'certificate', /^the certificate of model\.test:443 is not trusted/],
    [
      'without the proxy',
      { proxy: undefined },
      'connection',
      /^(cannot resolve model\.test|no answer from model\.test:443)/,
    ],
  ])('and %s is told why not', async (_what, change, what, why) => {
    expect(await tryWayOut(site.docker, way(change))).toEqual({
      reached: false,
      what,
      why: expect.stringMatching(why),
    });
  });

  test('and a login that is missing is told too; nothing is left behind', async () => {
    const missing = { ...proxy, username: null, password: null };
    expect(await tryWayOut(site.docker, way({ proxy: missing }))).toMatchObject({
      why: expect.stringContaining('wants a login (407)'),
    });
    const left = await site.docker.listContainers({ all: true, filters: { network: [company.name] } });
    expect(left.filter(({ Command }) => Command.includes('--reach'))).toEqual([]);
  });
});

test('an image is built by the proxy, and nothing of its login stays in it', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'bottle-build-'));
  const image = {
    dockerfile: path.join(folder, 'Dockerfile'),
    tag: `bottleworks-test/built:${randomUUID()}`,
    base: site.images.guest,
  };
  try {
    await writeFile(
      image.dockerfile,
      'ARG BASE\nFROM ${BASE}\nUSER root\nRUN curl -sSf http://plain.test/built >/built\n',
    );
    const { username, password: value } = company.proxy;
    const yaml = `network: {proxy: {url: "http://${company.address}:3128", username: ${username}, password: env:COMPANY_PASSWORD}}`;
    await writeFile(path.join(folder, 'config.yaml'), yaml);
    vi.stubEnv('BOTTLE_HOME', folder);
    vi.stubEnv('COMPANY_PASSWORD', value);
    await ensureCustomImage(site.docker, image, { report: () => undefined });
    expect(await company.asked()).toContain('GET http://plain.test/built HTTP/1.1');
    const made = site.docker.getImage(image.tag);
    expect(JSON.stringify([await made.history(), await made.inspect()])).not.toContain(value);
  } finally {
    vi.unstubAllEnvs();
    await site.docker
      .getImage(image.tag)
      .remove({ force: true })
      .catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  }
});
