import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, test } from 'vitest';
import { asActivity, type Step } from '../../../src/activities/as-activity.ts';
import { BottleError } from '../../../src/core/errors.ts';
import { rememberSecret } from '../../../src/host/scrub.ts';
import { resolveSecrets } from '../../../src/host/secrets.ts';

const run = (step: Step<null, unknown>, context = new MockActivityEnvironment({ attempt: 3 })): Promise<unknown> =>
  context.run(asActivity(step, 10), null);

async function failureOf(step: Step<null, unknown>): Promise<ApplicationFailure> {
  const error = await run(step).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ApplicationFailure);
  return error as ApplicationFailure;
}

/** All that Temporal keeps of a failure. */
const kept = ({ message, type, stack, details, cause }: ApplicationFailure): string =>
  JSON.stringify({
    message,
    type,
    stack,
    details,
    cause: cause instanceof Error ? [cause.message, cause.stack] : cause,
  });

test('a step gives its result, and which attempt it is', async () => {
  expect(await run(async () => ({ a: 1 }))).toEqual({ attempt: 3, value: { a: 1 } });
});

test('a failure has code, message, hint and attempt, and is not tried again where that cannot help', async () => {
  expect(
    await failureOf(async () => {
      throw new BottleError('SECRET_MISSING', 'no secret', { hint: 'put it there' });
    }),
  ).toMatchObject({
    type: 'SECRET_MISSING',
    message: 'no secret',
    nonRetryable: true,
    details: [{ code: 'SECRET_MISSING', message: 'no secret', hint: 'put it there', attempt: 3 }],
  });
  expect(
    await failureOf(async () => {
      throw new TypeError('x is no function');
    }),
  ).toMatchObject({
    type: 'INTERNAL',
    message: 'x is no function',
    nonRetryable: false,
    details: [{ code: 'INTERNAL', message: 'x is no function', attempt: 3 }],
  });
});

describe('no secret that was read gets into a failure,', () => {
  const SECRET = 'correct horse battery staple';
  const inBase64 = Buffer.from(`me:${SECRET}`).toString('base64');

  test.each<[name: string, error: (secret: string) => unknown]>([
    ['in its message', (secret) => new BottleError('DOCKER_ERROR', `refused ${secret}`)],
    ['in its hint', (secret) => new BottleError('DOCKER_ERROR', 'refused', { hint: `try without ${secret}` })],
    ['by its cause', (secret) => new BottleError('DOCKER_ERROR', 'refused', { cause: new Error(secret) })],
    ['encoded', () => new BottleError('DOCKER_ERROR', `Authorization: Basic ${inBase64}`)],
    ['cut off', (secret) => new BottleError('DOCKER_ERROR', `${'x '.repeat(490)}${secret}${'y'.repeat(100)}`)],
    ['by any other error', (secret) => new TypeError(`no ${secret}`)],
    ['by what is no error', (secret) => secret],
    [
      'by an error that is a failure already',
      (secret) => ApplicationFailure.create({ message: secret, details: [secret] }),
    ],
  ])('%s', async (_name, error) => {
    const failure = await failureOf(async () => {
      const [secret = ''] = (await resolveSecrets(['env:A'], { env: { A: SECRET } })).values();
      throw error(secret);
    });
    for (const part of ['correct horse', 'battery', 'staple', inBase64.slice(6, 20)])
      expect(kept(failure)).not.toContain(part);
  });

  test('and the rest of it says what it said', async () => {
    rememberSecret(SECRET);
    const failure = await failureOf(async () => {
      throw new BottleError('DOCKER_ERROR', `refused ${SECRET} of me`, { hint: `without ${SECRET}, please` });
    });
    const view = { code: 'DOCKER_ERROR', message: 'refused [secret] of me', hint: 'without [secret], please' };
    expect(failure).toMatchObject({ type: view.code, message: view.message, details: [{ ...view, attempt: 3 }] });
  });
});

test('a cancelled step fails as cancelled, whatever it throws', async () => {
  const context = new MockActivityEnvironment({ attempt: 1 });
  const running = run(
    (_input, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('of a library')))),
    context,
  );
  const outcome = expect(running).rejects.toBeInstanceOf(CancelledFailure);
  context.cancel();
  await outcome;
});
