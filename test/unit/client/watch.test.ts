import { expect, test } from 'vitest';
import { isOutage, News } from '../../../src/client/watch.ts';
import { BottleError } from '../../../src/core/errors.ts';

const grpc = (code: number): Error => new Error('a call failed', { cause: Object.assign(new Error(), { code }) });

test.each([
  ['CANCELLED', 1, true],
  ['INVALID_ARGUMENT', 3, false],
  ['DEADLINE_EXCEEDED', 4, true],
  ['PERMISSION_DENIED', 7, false],
  // An answer that is longer than what gRPC takes.
  ['RESOURCE_EXHAUSTED', 8, false],
  ['UNIMPLEMENTED', 12, false],
  ['UNAVAILABLE', 14, true],
  ['UNAUTHENTICATED', 16, false],
])('%s is told from an outage', (_name, code, outage) => {
  expect(isOutage(grpc(code), 1)).toBe(outage);
});

test.each([2, 13])('what fails with %i again and again is there', (code) => {
  expect([1, 5, 6].map((failures) => isOutage(grpc(code), failures))).toEqual([true, true, false]);
});

test('what is no answer of a server is no outage of it', () => {
  expect(isOutage(new TypeError('a fault of ours'), 1)).toBe(false);
  expect(isOutage(new BottleError('NO_SUCH_BOTTLE', 'gone'), 1)).toBe(false);
});

test('who was first suspected, and then known to be gone, is said to be back by whoever looks after it', async () => {
  const news = new News();
  const said: string[] = [];
  const over = new AbortController();
  const told = (async () => {
    for await (const event of news.events(over.signal)) if ('text' in event) said.push(event.text);
  })();
  for (const who of ['worker', 'temporal'] as const) {
    news.suspect(who, `${who} is slow`);
    news.care({ kind: 'silent', who, text: `${who} is gone` });
    news.suspect(who, `${who} is slow`);
    news.answers(who, `${who} is back`);
    news.care({ kind: 'recovered', who, text: `${who} was started` });
    news.answers(who, `${who} is back`);
    news.suspect(who, `${who} is slow`);
    news.answers(who, `${who} is back`);
  }
  news.end();
  await told;
  expect(said).toEqual(
    ['worker', 'temporal'].flatMap((who) =>
      ['is slow', 'is gone', 'was started', 'is slow', 'is back'].map((what) => `${who} ${what}`),
    ),
  );
});
