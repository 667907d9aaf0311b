import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonsOf, secretRefsOf } from '../../src/core/bundle-plans.ts';
import { EGRESS_PORT } from '../../src/core/daemons.ts';
import { bundleName, machineName } from '../../src/core/names.ts';
import { GUEST } from '../../src/core/plan.ts';
import type { BottleRef, CheckInput, NetworkFacts } from '../../src/core/step-io.ts';
import { imageScanner } from '../../src/host/images.ts';
import { ensureNetwork } from '../../src/host/network.ts';
import { type ActivitySite, activitySite } from '../support/activity-site.ts';
import { type BundleChange, plansOf, sh } from '../support/docker-site.ts';
import { fullPlans } from '../support/full-bundle.ts';
import { runIn } from '../support/run-in-container.ts';

interface Home {
  bottle: BottleRef;
  network: NetworkFacts;
}

let site: ActivitySite;
/** A bundle of the allow-list proxy alone. */
let good: Home;
/** A bundle of all daemons, with the scanner as people use it; what fits it. */
let full: Home;
let fullCheck: Partial<CheckInput>;
const SECRETS = { route: `route-${randomUUID()}`, repository: `repository-${randomUUID()}` };

beforeAll(async () => {
  site = await activitySite();
  const change = fullBundle();
  [good, full] = await Promise.all([site.ready('check'), site.ready('check', change)]);
  fullCheck = checkOf(change);
});
afterAll(() => site?.dispose());

const scanner = await imageScanner();
const fullBundle = (): BundleChange => ({
  scanner,
  plans: fullPlans({ route: site.secret(SECRETS.route), repository: site.secret(SECRETS.repository) }),
});

/** What the launch would hand its check for this bundle. */
function checkOf({ scanner: kind = 'allow-list', plans }: BundleChange = {}): Partial<CheckInput> {
  const all = plansOf(plans);
  return { daemons: daemonsOf(all), scanner: kind, allow: all.pipelock.allow, secrets: secretRefsOf(all) };
}

const check = ({ bottle, network }: Home, change: Partial<CheckInput> = {}) => {
  const { daemons = ['pipelock'], allow = ['api.anthropic.com'], secrets = [] } = change;
  const kind = change.scanner ?? 'allow-list';
  const template = 'claude' as const;
  const belongings = { scanner: kind, template, allow, secrets };
  return site.step('check', { bottle, network, driver: 'docker', front: true, daemons, ...belongings });
};

/** What is wrong according to the check, one finding a line. */
async function findings(home: Home, change?: Partial<CheckInput>): Promise<string[]> {
  const failure = await check(home, change).then(
    () => ({ type: 'none', message: '' }),
    (error: { type: string; message: string }) => error,
  );
  expect(failure).toMatchObject({ type: 'CHECK_FAILED', nonRetryable: false });
  return failure.message.split('; ');
}

/** The agent of `good` logs in by itself; whether its model is reached is this computer's to know. */
const LOGIN = expect.toBeOneOf([null, { wayOut: { host: 'api.anthropic.com', why: expect.any(String) } }]);

/** RFC 6761: nobody on the internet has a name under `.test`. */
const LEADS_NOWHERE = {
  wayOut: {
    host: 'echo.test',
    why: expect.stringMatching(/^(cannot resolve echo\.test|no answer from echo\.test:443)/),
  },
};
const PASSED = LEADS_NOWHERE;

describe('the check', () => {
  test('passes a bottle as it should be, and any number of times', async () => {
    expect(await check(good)).toEqual(LOGIN);
    expect(await Promise.all([check(good), check(good)])).toEqual([LOGIN, LOGIN]);
  });

  test('passes a bottle with every daemon, any number of times', async () => {
    expect(await check(full, fullCheck)).toEqual(PASSED);
    expect(await Promise.all([check(full, fullCheck), check(full, fullCheck)])).toEqual([PASSED, PASSED]);
  });

  test('passes a bottle whose way out leads nowhere, and says so, though egress may only just have begun to try', async () => {
    const home = await site.ready('check', fullBundle());
    expect(await check(home, fullCheck)).toEqual(LEADS_NOWHERE);
  });

  test('passes a bottle whose agent cannot log in, since its way out leads nowhere, and says so', async () => {
    const uplink = await site.foreignNetwork({ Internal: true });
    const { Name } = (await uplink.inspect()) as { Name: string };
    expect(await check(await site.ready('check', { uplink: Name }))).toEqual({
      wayOut: {
        host: 'api.anthropic.com',
        why: expect.stringMatching(/^(cannot resolve api\.anthropic\.com|no answer from api\.anthropic\.com:443)/),
      },
    });
  });

  test('passes a bottle that lists no host at all', async () => {
    expect(await check(good, { allow: [] })).toEqual(LOGIN);
  });

  test('finds a listed host that the proxy does not let through', async () => {
    expect(await findings(good, { allow: ['forgotten.example.com'] })).toEqual([
      expect.stringMatching(/^a listed host is refused .*"deny"/),
    ]);
  });

  test('finds a machine that is on another network too', async () => {
    const bridge = site.docker.getNetwork('bridge');
    await bridge.connect({ Container: machineName(good.bottle.id) });
    try {
      expect(await findings(good)).toContainEqual(
        expect.stringMatching(/^the machine is on another network than its own .*172\.\d+/),
      );
    } finally {
      await bridge.disconnect({ Container: machineName(good.bottle.id), Force: true });
    }
    expect(await check(good)).toEqual(LOGIN);
  });

  test('finds a bridge that answers at the gateway', async () => {
    const bottle = site.bottle('check');
    const network = await ensureNetwork(site, bottle, { pool: site.pool, hostOnBridge: true });
    await Promise.all([
      site.step('bundle', site.bundleInput(bottle, network)),
      site.driver.create(bottle, site.machineSpec(network)).then(() => site.driver.start(bottle)),
    ]);
    expect(await findings({ bottle, network })).toEqual([
      expect.stringMatching(/^the host can be reached through the gateway .*refused/i),
    ]);
  });

  test('finds a proxy that lets through what nobody listed', async () => {
    const home = await site.machine('check');
    await site.step('bundle', {
      ...site.bundleInput(home.bottle, home.network, {
        plans: { pipelock: { allow: ['api.anthropic.com', 'unlisted.bottle.invalid'], intercept: false } },
      }),
    });
    expect(await findings(home)).toEqual([
      expect.stringMatching(/^an unlisted host is not refused /),
      expect.stringMatching(/^an unlisted host is not refused over TLS /),
    ]);
  });

  test('finds an agent that is not there, or does not start', async () => {
    const home = await site.ready('check');
    await runIn(site, machineName(home.bottle.id), ['rm', '/usr/local/bin/claude']);
    expect(await findings(home)).toEqual([expect.stringMatching(/^the agent does not run .*not found/)]);
    await site.driver.putFiles(home.bottle.id, [
      { path: '/usr/local/bin/claude', mode: 0o755, content: Buffer.from('#!/bin/sh\necho broken >&2; exit 1\n') },
    ]);
    expect(await findings(home)).toEqual([expect.stringMatching(/^the agent does not run .*broken/)]);
  });

  test('finds a bundle that has stopped', async () => {
    const home = await site.ready('check');
    await site.docker.getContainer(bundleName(home.bottle.id)).stop();
    expect(await findings(home)).toEqual([
      expect.stringMatching(/^the way out through the bundle does not answer /),
      expect.stringMatching(/^a listed host is refused /),
      expect.stringMatching(/^an unlisted host is not refused /),
      expect.stringMatching(/^an unlisted host is not refused over TLS /),
    ]);
  });

  test('finds each daemon that should be there and is not', async () => {
    expect(await findings(good, { daemons: ['pipelock', 'egress', 'git-gate', 'supervise'] })).toEqual([
      expect.stringMatching(/^egress cannot be reached through the scanner \(egress: 403\)/),
      expect.stringMatching(/^egress cannot be reached by its name without a proxy \(egress-name: 000\)/),
      expect.stringMatching(/^egress can be reached without the scanner \(egress-direct: 000\)/),
      expect.stringMatching(/^what is asked of egress by its name is not scanned \(egress-scanned: 000\)/),
      expect.stringMatching(/^whoever answers to the name of egress makes tunnels \(egress-front-tunnel: 000\)/),
      expect.stringMatching(/^the push gate does not answer \(git-gate: 000\)/),
      expect.stringMatching(/^supervise does not answer \(supervise: 000\)/),
    ]);
  });

  test('finds egress where it can be reached without the scanner', async () => {
    const home = await site.ready('check');
    const open = `require('node:http').createServer((_, response) => response.end()).listen(${EGRESS_PORT}, process.argv[1], () => console.log('up'))`;
    const start = 'node -e "$1" "$2" >/tmp/open & while [ ! -s /tmp/open ]; do sleep 0.02; done';
    const bundle = bundleName(home.bottle.id);
    await runIn(site, bundle, ['sh', '-c', start, 'sh', open, home.network.bundleIp]);
    expect(await findings(home, { daemons: ['pipelock', 'egress'] })).toEqual([
      expect.stringMatching(/^egress cannot be reached through the scanner \(egress: 403\)/),
      expect.stringMatching(/^egress can be reached without the scanner \(egress-direct: 200\)/),
      expect.stringMatching(/^what is asked of egress by its name is not scanned \(egress-scanned: 200\)/),
      expect.stringMatching(/^whoever answers to the name of egress makes tunnels \(egress-front-tunnel: 000\)/),
    ]);
  });

  test.each([
    ['in the environment of a process', 'SECRET="$1" sleep 30 & echo $!'],
    ['in the arguments of a process', 'node -e "setTimeout(() => {}, 30_000)" "$1" & echo $!'],
    [
      'in a file of the agent',
      'mkdir -p ~/.config/tool && echo "token=$1" >~/.config/tool/auth; echo $$',
      '/home/agent/.config/tool/auth',
    ],
    [
      'in a skill, deep',
      'mkdir -p ~/.claude/skills/a/b/c && echo "use $1" >~/.claude/skills/a/b/c/note.md; echo $$',
      '/home/agent/.claude/skills/a/b/c/note.md',
    ],
    [
      "in the agent's own configuration",
      'echo "{\\"key\\": \\"$1\\"}" >~/.claude.json; echo $$',
      '/home/agent/.claude.json',
    ],
    [
      'in a file that came with the workspace',
      'mkdir app; echo "TOKEN=$1" >app/.env; echo $$',
      `${GUEST.workspace}/app/.env`,
    ],
    ['in lines of base64, in /tmp', 'printf "me:%s" "$1" | base64 -w 20 >/tmp/left; echo $$', '/tmp/left'],
    ['in hex, in the workspace', 'printf %s "$1" | od -An -tx1 | tr -d " " >dump; echo $$', `${GUEST.workspace}/dump`],
  ])(
    'finds a secret that is %s, and names it by its reference and its file alone',
    async (_where, script, file = '') => {
      const [route = '', repository = ''] = fullCheck.secrets ?? [];
      const put = await sh(
        site.driver,
        full.bottle.id,
        `${script} >/tmp/pid 2>/dev/null </dev/null; cat /tmp/pid`.replace('"$1"', '"$S"').replaceAll('$1', '$S'),
        {
          env: { S: SECRETS.route },
        },
      );
      try {
        const found = await findings(full, fullCheck);
        expect(found).toEqual([`the secret ${route} is in the machine${file === '' ? '' : `, in ${file}`}`]);
        expect(found.join()).not.toContain(repository);
      } finally {
        await sh(
          site.driver,
          full.bottle.id,
          `kill ${put.stdout.trim()}; rm -rf ~/.config ~/.claude/skills ~/.claude.json /tmp/left app dump`,
        );
      }
      expect(await check(full, fullCheck)).toEqual(PASSED);
    },
  );

  test('of a machine with more than it looks through passes, says so, and has looked at the small files first', async () => {
    const [route = ''] = fullCheck.secrets ?? [];
    const large = 'for n in $(seq 12); do head -c 5000000 /dev/zero >big-$n; done';
    await sh(site.driver, full.bottle.id, large);
    try {
      expect(await check(full, fullCheck)).toMatchObject({
        unsearched: { bytes: expect.toSatisfy((bytes: number) => bytes >= 60_000_000), searchedBytes: 32 * 1024 ** 2 },
      });
      await sh(site.driver, full.bottle.id, 'echo $S >zzz', { env: { S: SECRETS.route } });
      expect(await findings(full, fullCheck)).toEqual([
        `the secret ${route} is in the machine, in ${GUEST.workspace}/zzz`,
      ]);
    } finally {
      await sh(site.driver, full.bottle.id, 'rm -f big-* zzz');
    }
  });

  test('whose secret is gone from the host is that error', async () => {
    await expect(check(full, { ...fullCheck, secrets: ['file:/no/such'] })).rejects.toMatchObject({
      type: 'SECRET_MISSING',
      nonRetryable: true,
    });
  });

  test('of a machine that does not run is that error, not a finding', async () => {
    const home = await site.ready('check');
    await site.driver.stop(home.bottle.id);
    await expect(check(home)).rejects.toMatchObject({ type: 'MACHINE_NOT_RUNNING' });
  });
});
