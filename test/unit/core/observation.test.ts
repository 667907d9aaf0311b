import { beforeEach, describe, expect, test } from 'vitest';
import { Observation } from '../../../src/core/observation.ts';
import type { WatchNews } from '../../../src/core/step-io.ts';

const AT = '2026-11-24T10:00:00.000Z';
const news = (change: Partial<WatchNews>): WatchNews => ({
  steps: [],
  daemons: null,
  asked: [],
  refused: [],
  cursor: null,
  ...change,
});
const refusal = (route: string, at = AT) => ({ route, status: 401, at });
const bundle = (daemons: WatchNews['daemons'] = { pipelock: 'ready' }) => ({ container: 'b', daemons: daemons ?? {} });

let observed: Observation;
beforeEach(() => {
  observed = new Observation();
});

describe('the daemons', () => {
  test('are as the bundle step left them, then as was last heard', () => {
    observed.bundleReady(bundle(), true);
    expect(observed.daemons).toEqual({ pipelock: 'ready' });
    observed.take(news({ daemons: { pipelock: 'backoff' } }));
    observed.take(news({ daemons: null }));
    expect(observed.daemons).toEqual({ pipelock: 'backoff' });
    observed.bundleReady(bundle(), false);
    expect(observed.daemons).toEqual({ pipelock: 'ready' });
  });
});

test('that nobody can look is told until somebody can, and the next watch knows of it', () => {
  const trouble = { code: 'DOCKER_UNREACHABLE', message: 'the Docker Engine does not answer (ENOENT)' };
  expect(observed.watchFrom()).not.toHaveProperty('blind');
  observed.take(news({ trouble }));
  observed.take(news({}));
  expect([observed.trouble, observed.watchFrom().blind]).toEqual([trouble, true]);
  observed.take(news({ trouble: null }));
  expect([observed.trouble, observed.watchFrom().blind]).toEqual([undefined, undefined]);
});

test('that what the host keeps is gone is told until it is there, beside an Engine that nobody can ask', () => {
  const gone = { code: 'STATE_MISSING', message: 'what the host keeps of the bottle is gone' };
  const silent = { code: 'DOCKER_UNREACHABLE', message: 'the Docker Engine does not answer (ETIMEDOUT)' };
  observed.keepsState(gone);
  expect(observed.watchFrom()).toMatchObject({ stateGone: true });
  expect(observed.watchFrom()).not.toHaveProperty('blind');
  observed.take(news({ trouble: silent }));
  expect(observed.trouble).toEqual(silent);
  const carried = new Observation(observed.snapshot());
  carried.take(news({ trouble: null }));
  expect(carried.trouble).toEqual(gone);
  carried.keepsState(undefined);
  expect([carried.trouble, carried.watchFrom().stateGone]).toEqual([undefined, undefined]);
});

describe('refused credentials', () => {
  const routes = () => observed.refused.map(({ route }) => route);

  test('are told of once a route, with the newest at the end', () => {
    observed.take(news({ refused: [refusal('a'), refusal('b')] }));
    observed.take(news({ refused: [refusal('a', '2026-11-24T11:00:00.000Z')] }));
    expect(observed.refused).toEqual([refusal('b'), refusal('a', '2026-11-24T11:00:00.000Z')]);
  });

  test('are forgotten when the daemons have read theirs again, and only then', () => {
    observed.take(news({ refused: [refusal('a')] }));
    observed.bundleReady(bundle(), false);
    expect(routes()).toEqual(['a']);
    observed.bundleReady(bundle(), true);
    expect(routes()).toEqual([]);
  });

  test('are no more than ten, so that a history stays small', () => {
    observed.take(news({ refused: Array.from({ length: 30 }, (_, n) => refusal(`r${n}`)) }));
    expect(routes()).toEqual(Array.from({ length: 10 }, (_, n) => `r${n + 20}`));
  });
});

test('the next watch goes on from the last line that was read, and from the states that are known', () => {
  expect(observed.watchFrom()).toEqual({ daemons: {}, cursor: null });
  observed.take(news({ daemons: { egress: 'failed' }, cursor: '2026-11-24T10:00:00.5Z' }));
  observed.take(news({ cursor: null }));
  expect(observed.watchFrom()).toEqual({ daemons: { egress: 'failed' }, cursor: '2026-11-24T10:00:00.5Z' });
});

test('what the agent asked is in the book, once however often the log is read', () => {
  const ask = { kind: 'question', question: 'Which?', options: [] } as const;
  const asked = [{ id: 'deadbeef', ask: { ...ask, options: [] }, askedAt: AT }];
  observed.take(news({ asked }));
  observed.take(news({ asked }));
  expect(observed.book.pending().map(({ id }) => id)).toEqual(['deadbeef']);
});
