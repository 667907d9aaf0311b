import { expect, test } from 'vitest';
import { askOperator, type Operator } from '../../../src/client/questions.ts';

const plan = { privateEnv: { TOKEN: { from: 'operator' as const, question: 'your token' } } };
const typed: Pick<Operator, 'ask'> = { ask: async (name, question) => `${name}, ${question}: typed` };

test('a question is asked on a terminal though a variable has its name', async () => {
  const operator = { ...typed, terminal: true, env: { TOKEN: 'of something else' } };
  expect(await askOperator(plan, {}, operator)).toEqual({ TOKEN: 'TOKEN, your token: typed' });
});

test('without a terminal the variable is the answer, and where there is none it is refused', async () => {
  const operator = { ...typed, terminal: false };
  expect(await askOperator(plan, {}, { ...operator, env: { TOKEN: 'given' } })).toEqual({ TOKEN: 'given' });
  await expect(askOperator(plan, {}, { ...operator, env: {} })).rejects.toMatchObject({ code: 'ENV_MISSING' });
});

test('what was answered before is not asked again', async () => {
  expect(await askOperator(plan, { TOKEN: 'known' }, { ...typed, terminal: true })).toEqual({});
});
