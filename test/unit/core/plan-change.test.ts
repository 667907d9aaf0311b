import { describe, expect, test } from 'vitest';
import { daemonsOf } from '../../../src/core/bundle-plans.ts';
import type { LaunchInput } from '../../../src/core/launch-input.ts';
import type { Plan } from '../../../src/core/plan.ts';
import { changedKeys, planChange, type RereadInput } from '../../../src/core/plan-change.ts';
import { LAUNCH_STEPS, type StepId } from '../../../src/core/steps.ts';
import { networkFacts } from '../../../src/core/subnet.ts';
import { FULL, NONE, plan } from './plan-fixture.ts';

const ALL: StepId[] = LAUNCH_STEPS.map(({ id }) => id);
const PROVISIONED = ALL.filter((id) => id.startsWith('provision.'));
const OURS = { guest: 'bottleworks/guest:aaa', bundle: 'bottleworks/bundle:aaa' };
const before = plan(FULL, { images: OURS, agentSettings: {} });

/** How a launch takes it that its files make another plan now. */
function change(
  found: Plan,
  { built = ALL, ...options }: Partial<RereadInput> & { built?: readonly StepId[] } = {},
): ReturnType<typeof planChange> {
  const launch: LaunchInput = { agent: 'researcher' };
  const network = networkFacts('bottle-demo', '10.214.3.16/28');
  return planChange(
    {
      bottle: { id: 'demo', runId: 'run-1' },
      launch,
      plan: before,
      network,
      mode: 'apply',
      ...options,
      built: [...built],
    },
    found,
  );
}
const ROUTE = { id: '', upstream: 'https://pkg.test', matches: [], auth: null, private: false, ca: null };
const withBundle = (bundle: Plan['bundle'], base: Plan = before): Plan => ({
  ...base,
  bundle,
  daemons: daemonsOf(bundle),
});

/** What a person might have written otherwise, and which steps work from that. */
const CHANGES: [what: string, found: Plan, steps: StepId[], keys: string[]][] = [
  ['the prompt', { ...before, prompt: { empty: false, digest: 'p2' } }, ['provision.prompt'], ['the prompt']],
  [
    'that there is a prompt at all',
    { ...before, prompt: { empty: true, digest: 'p0' } },
    ['provision.prompt', 'provision.agent'],
    ['the prompt'],
  ],
  ['which skills', { ...before, skills: ['greeting', 'notes'] }, ['provision.skills'], ['skills']],
  ['what is in a skill', { ...before, skillsDigest: 's2' }, ['provision.skills'], ['skills']],
  ['who commits', { ...before, git: { user: { name: 'B' } } }, ['provision.git'], ['git-gate.user']],
  [
    'a host',
    withBundle({ ...FULL, pipelock: { ...FULL.pipelock, allow: ['a.test', 'b.test'] } }),
    ['bundle', 'check'],
    ['allow'],
  ],
  [
    'the first route that is not the model’s, which npm would be told of',
    withBundle({ ...FULL, egress: { routes: [...(FULL.egress?.routes ?? []), { ...ROUTE, id: 'pkg.test' }] } }),
    ['bundle'],
    ['egress.routes'],
  ],
  [
    'the CA of all upstreams',
    withBundle({ ...FULL, ca: '/corp.pem', caDigest: '1' }),
    ['bundle', 'provision.ca', 'provision.agent'],
    ['network.ca'],
  ],
  [
    'a private variable',
    { ...before, privateEnv: { TOKEN: { from: 'operator', question: 'TOKEN' } } },
    ['provision.agent'],
    ['env.TOKEN'],
  ],
  [
    'what its program is told',
    { ...before, agentSettings: { model: 'opus', hooks: {}, mcpServers: { a: { url: 'http://a.test' } } } },
    ['provision.agent'],
    ['model', 'hooks', 'mcpServers'],
  ],
  ['a variable', { ...before, env: { MINE: 'y' } }, ['machine.create'], ['env.MINE (x -> y)']],
  [
    'limits of the machine',
    { ...before, resources: { ...before.resources, cpus: 4, pids: 64 } },
    ['machine.create'],
    ['resources.cpus (2 -> 4)', 'resources.pids (1024 -> 64)'],
  ],
  ['its image', { ...before, images: { ...OURS, guest: 'mine:1' } }, ['machine.create'], ['image']],
  ['when it is stopped', { ...before, limits: { lifetimeMs: 1000, idleMs: null } }, [], ['limits.lifetime']],
];

describe('what the files make now', () => {
  test('changes nothing when it is the same', () => {
    expect(change(structuredClone(before))).toEqual({
      plan: before,
      changed: [],
      again: [],
      refused: [],
      keys: [],
    });
  });

  test.each(CHANGES)('%s changes just the steps that work from it', (_what, found, steps, keys) => {
    const made = change(found);
    expect(made).toMatchObject({ plan: found, changed: steps, again: steps, keys });
  });

  test.each(CHANGES)('%s concerns nobody while nothing is made yet', (_what, found, steps) => {
    for (const mode of ['retry', 'apply'] as const) {
      expect(change(found, { mode, built: ['prepare'] })).toMatchObject({ changed: steps, again: [], refused: [] });
    }
  });

  test('without a daemon that was there concerns whoever is told of it', () => {
    const without = withBundle({ ...FULL, supervise: null });
    const { again, keys } = change(without);
    expect(again).toEqual(['bundle', 'machine.create', 'provision.supervise', 'provision.agent', 'check']);
    expect(keys).toEqual(['supervise']);
  });

  test.each([
    ['a route', { ...FULL, egress: { routes: [] } }, 'egress.routes'],
    ['a repository', { ...FULL, gitGate: null }, 'git-gate.repos'],
    ['interception', { ...FULL, pipelock: { ...FULL.pipelock, intercept: true } }, 'intercept'],
  ])('is called by the key of the manifest: %s', (_what, bundle, key) => {
    expect(change(withBundle(bundle)).keys).toEqual([key]);
  });
});

describe('on apply', () => {
  test('whatever can be written anew into what there is runs again, in the order of the launch', () => {
    const found: Plan = { ...before, skillsDigest: 's2', prompt: { empty: true, digest: '' } };
    const made = change(withBundle({ ...FULL, ca: '/x', caDigest: '1' }, found));
    expect(made.again).toEqual(['bundle', 'provision.ca', 'provision.prompt', 'provision.skills', 'provision.agent']);
    expect(made.refused).toEqual([]);
  });

  test.each([
    [{ env: { OTHER: '1' } }, ['machine.create']],
    [{ resources: { ...before.resources, memoryMiB: 512 } }, ['machine.create']],
    [{ driver: 'smolvm' as const }, ['network', 'machine.create', 'machine.start']],
  ])('a machine or network cannot become another: %j', (other, refused) => {
    expect(change({ ...before, ...other }).refused).toEqual(refused);
    // Unless it is not there yet.
    expect(change({ ...before, ...other }, { built: ['prepare'] }).refused).toEqual([]);
  });

  test('a packed machine of another content is another image, and one of the same is no change', () => {
    const packed = (hex: string): Plan => {
      const guest = `/x/guest.smolmachine@sha256:${hex.repeat(64)}`;
      return { ...before, driver: 'smolvm', images: { ...before.images, guest } };
    };
    const made = change(packed('b'), { plan: packed('a') });
    expect(made).toMatchObject({ refused: ['machine.create'], keys: ['image'], plan: packed('b') });
    expect(change(packed('a'), { plan: packed('a') }).changed).toEqual([]);
    const held = change(packed('b'), { plan: packed('a'), mode: 'retry', built: ['prepare', 'network'] });
    expect(held).toMatchObject({ changed: ['machine.create'], refused: [] });
  });

  test('what is refused is named with what would have been taken over', () => {
    const made = change({ ...before, env: {}, skillsDigest: 's2' });
    expect(made).toMatchObject({
      again: ['machine.create', 'provision.skills'],
      refused: ['machine.create'],
      keys: ['env.MINE', 'skills'],
    });
  });
});

describe('on retry', () => {
  const mode = 'retry';

  test('what is done stays as it is: only what is still to come may have changed', () => {
    const built = ALL.filter((id) => id !== 'provision.skills' && id !== 'check');
    expect(change({ ...before, skills: ['other'] }, { mode, built })).toMatchObject({ again: [], refused: [] });
    expect(change({ ...before, prompt: { empty: false, digest: 'p2' } }, { mode, built })).toMatchObject({
      changed: ['provision.prompt'],
      refused: ['provision.prompt'],
    });
  });

  test.each(PROVISIONED.filter((id) => id !== 'provision.ca'))(
    '%s that is done refuses a change of what it wrote',
    (id) => {
      const other: Plan = withBundle(
        { ...FULL, gitGate: null, supervise: null },
        {
          ...before,
          skillsDigest: 's2',
          prompt: { empty: true, digest: '' },
          git: { user: {} },
          message: 'x',
        },
      );
      expect(change(other, { mode, built: ['prepare', id] }).refused).toEqual([id]);
    },
  );

  test('the check may always be done once more', () => {
    const found = withBundle({ ...FULL, pipelock: { ...FULL.pipelock, allow: [] } });
    const made = change(found, { mode, built: ['prepare', 'check'] });
    expect(made).toMatchObject({ again: ['check'], refused: [] });
  });
});

describe('what is of the host and no change of the manifest', () => {
  test('stays: addresses, the way out, the scanner, and our own images', () => {
    const found: Plan = {
      ...before,
      pool: '10.9.0.0/16',
      uplink: 'other',
      scanner: 'allow-list',
      images: { guest: 'bottleworks/guest:bbb', bundle: 'bottleworks/bundle:bbb' },
    };
    expect(change(found)).toEqual({ plan: before, changed: [], again: [], refused: [], keys: [] });
  });

  test('but not the other of our two images, where it is known which one it was', () => {
    const small = { ...before, images: { ...OURS, guest: 'bottleworks/guest:aaa' }, stock: 'minimal' as const };
    const full = { ...before, images: { ...OURS, guest: 'bottleworks/guest-full:aaa' }, stock: 'full' as const };
    const made = change(full, { plan: small });
    expect(made.plan.images.guest).toBe('bottleworks/guest-full:aaa');
    expect(made).toMatchObject({ refused: ['machine.create'], keys: ['image'] });
    expect(change({ ...small, images: { ...OURS, guest: 'bottleworks/guest:bbb' } }, { plan: small }).changed).toEqual(
      [],
    );
    // Launched by a version that had just one.
    const { stock: _, ...older } = small;
    expect(change(full, { plan: older })).toMatchObject({ changed: [], keys: [] });
  });

  test('but not an image of the person’s own, nor another agent', () => {
    expect(change({ ...before, images: { ...OURS, guest: 'mine:1' } }).plan.images.guest).toBe('mine:1');
    const own = { ...before, images: { ...OURS, guest: 'mine:1' } };
    expect(change(before, { plan: own }).plan.images.guest).toBe(OURS.guest);
    const codex: Plan = {
      ...before,
      provider: { template: 'codex', credential: 'api_key' },
      images: { ...OURS, guest: 'bottleworks/codex:aaa' },
    };
    const made = change(codex);
    expect(made.plan.images.guest).toBe('bottleworks/codex:aaa');
    expect(made.refused).toContain('machine.create');
    expect(made.keys).toEqual(['image', 'agent_provider']);
  });
});

test('a launch from before the machine found egress by its name is checked as it was then', () => {
  const found: Plan = { ...before, front: true };
  const made = change(found);
  expect(made).toMatchObject({ changed: [], keys: [] });
  expect(made.plan).not.toMatchObject({ front: true });
  expect(change(found, { plan: found }).plan).toMatchObject({ front: true });
});

describe('what is in the file of network.ca', () => {
  const trusting = withBundle({ ...FULL, ca: '/corp.pem', caDigest: '1' });

  test('is put into bundle and machine anew when it is another', () => {
    const found = withBundle({ ...FULL, ca: '/corp.pem', caDigest: '2' });
    expect(change(found, { plan: trusting })).toMatchObject({
      again: ['bundle', 'provision.ca'],
      keys: ['network.ca'],
      refused: [],
    });
  });

  test('is taken away when it is to be trusted no more', () => {
    const { again, refused } = change(before, { plan: trusting });
    expect({ again, refused }).toEqual({ again: ['bundle', 'provision.ca', 'provision.agent'], refused: [] });
  });

  test('is no change where the launch began before it was looked at', () => {
    const older = withBundle({ ...FULL, ca: '/corp.pem' });
    expect(change(trusting, { plan: older })).toMatchObject({ plan: older, changed: [], keys: [] });
  });

  test('does not hide a variable of the same name that a person wrote', () => {
    const found = { ...before, env: { ...before.env, SSL_CERT_FILE: '/mine.pem' } };
    expect(change(found).refused).toEqual(['machine.create']);
  });
});

describe('the words for what has changed', () => {
  test('show short values, and nothing that is long, a list, or a reference to a secret', () => {
    const other: Plan = {
      ...before,
      env: { MINE: 'x'.repeat(41), NEW: 'short', TEXT: 'a b' },
      privateEnv: { TOKEN: { from: 'host', variable: 'SECRET_NAME' } },
      message: 'Begin.',
      skills: ['a', 'b'],
      limits: { lifetimeMs: 5, idleMs: null },
    };
    const secret = structuredClone(other);
    const [route] = secret.bundle.egress?.routes ?? [];
    if (route?.auth) route.auth.secret = 'env:OTHER_KEY';
    expect(changedKeys(before, secret)).toEqual([
      'egress.routes',
      'env.MINE',
      'env.NEW',
      'env.TEXT',
      'env.TOKEN',
      'limits.lifetime',
      'message',
      'skills',
    ]);
  });

  test('say each thing once, and nothing of what follows from it', () => {
    const found = withBundle(NONE, { ...before, sources: { agent: '/b.md', bottles: ['/x.md'] } });
    expect(changedKeys(before, found).sort()).toEqual(['egress.routes', 'git-gate.repos', 'supervise']);
  });

  test.each([
    [{ dockerfile: '/x/Dockerfile', images: { ...OURS, guest: 'bottleworks/custom:1' } }, ['image']],
    [{ guest: { skillsDirectory: '/x' } }, ['BOTTLE_GUEST_SKILLS_DIR']],
    [{ driver: 'smolvm' }, ['driver (docker -> smolvm)']],
    [{ provider: { template: 'claude', credential: null } }, ['agent_provider']],
    [{}, []],
  ] as [Partial<Plan>, string[]][])('%j is told as %j', (other, keys) => {
    expect(changedKeys(before, { ...before, ...other })).toEqual(keys);
  });
});

describe('a launch that an older version began', () => {
  const { agentSettings: _none, ...old } = plan(NONE, {
    images: OURS,
    bundle: { ...NONE, pipelock: { allow: ['api.anthropic.com', 'a.test'], intercept: false } },
  });
  const found: Plan = {
    ...old,
    agentSettings: { model: 'opus' },
    message: 'Begin.',
    bundle: {
      ...NONE,
      pipelock: { allow: ['api.anthropic.com', 'platform.claude.com', 'a.test'], intercept: false },
    },
  };

  test('is retried from the same files, though more of them is followed now', () => {
    expect(change(found, { plan: old, mode: 'retry' })).toMatchObject({ changed: [], refused: [], keys: [] });
  });

  test('takes that over when it is asked to', () => {
    expect(change(found, { plan: old })).toMatchObject({ again: ['bundle', 'provision.agent', 'check'], refused: [] });
  });

  test('takes a changed host with either', () => {
    const more = { ...found, bundle: { ...NONE, pipelock: { allow: ['api.anthropic.com'], intercept: false } } };
    expect(change(more, { plan: old, mode: 'retry' }).refused).toEqual(['bundle']);
  });
});
