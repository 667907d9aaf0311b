/** Plans for tests: of a bottle with the proxy alone, and of one with everything. */
import { type BundlePlans, daemonsOf } from '../../../src/core/bundle-plans.ts';
import type { Plan } from '../../../src/core/plan.ts';

export const NONE: BundlePlans = {
  pipelock: { allow: ['a.test'], intercept: false },
  egress: null,
  gitGate: null,
  supervise: null,
  ca: null,
};
/** Every daemon has something to do. */
export const FULL: BundlePlans = {
  ...NONE,
  egress: {
    routes: [
      {
        id: 'anthropic',
        upstream: 'https://api.anthropic.com',
        matches: [],
        auth: { scheme: 'header', header: 'x-api-key', secret: 'env:KEY' },
        private: false,
        ca: null,
      },
    ],
  },
  gitGate: {
    repos: [
      {
        name: 'app',
        upstream: 'https://git.test/app',
        key: { kind: 'token', user: 'x', secret: 'file:/run/token' },
        branches: [],
        allowForce: false,
        allowDelete: false,
        ca: null,
      },
    ],
  },
  supervise: { maxPending: 10 },
};
export const plan = (bundle: BundlePlans, change: Partial<Plan> = {}): Plan => ({
  agent: 'researcher',
  driver: 'docker',
  sources: { agent: '/a.md', bottles: [] },
  images: { guest: 'guest:1', bundle: 'bundle:1' },
  dockerfile: null,
  pool: '10.214.0.0/16',
  uplink: 'company',
  daemons: daemonsOf(bundle),
  scanner: 'pipelock',
  bundle,
  provider: { template: 'claude', credential: bundle.egress === null ? null : 'api_key' },
  git: { user: { name: 'A', email: 'a@b.test' } },
  env: { MINE: 'x' },
  privateEnv: { TOKEN: { from: 'host', variable: 'HOST_TOKEN' } },
  resources: { cpus: 2, memoryMiB: 4096, pids: 1024 },
  limits: { lifetimeMs: null, idleMs: null },
  prompt: { empty: false, digest: 'p1' },
  message: null,
  workspace: null,
  skills: ['greeting'],
  skillsDigest: 's1',
  guest: { skillsDirectory: '/home/agent/.claude/skills' },
  ...change,
});
