import { expect, test } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import { planVariables } from '../../../src/core/plan-variables.ts';

test('the variables of a plan are those of its secrets and its machine, each once', () => {
  const auth = (secret: string): object => ({ auth: { secret } });
  const plan = {
    bundle: {
      egress: { routes: [auth('env:TOKEN'), auth('file:/x'), { auth: null }, auth('command:["echo"]')] },
      gitGate: { repos: [{ key: { secret: 'env:GIT_KEY' } }, { key: null }, { key: { secret: 'env:TOKEN' } }] },
    },
    privateEnv: {
      A: { from: 'host', variable: 'HOST_A' },
      B: { from: 'operator', question: 'B' },
    },
  } as unknown as Plan;
  expect(planVariables(plan)).toEqual(['GIT_KEY', 'HOST_A', 'TOKEN']);
});
