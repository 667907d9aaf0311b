import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createRequestDesk, type RequestDesk } from '../../../src/bundle/supervise-requests.ts';
import { askKey, parseAskLine, questionAsk, routeAsk } from '../../../src/core/asks.ts';
import type { Ask, RequestView } from '../../../src/core/requests.ts';

const NEVER = new AbortController().signal;
const question = questionAsk({ question: 'which?' });
const toHost = (host: string): Ask => routeAsk({ host, reason: 'because' });

let lines: string[];
let desk: RequestDesk;

beforeEach(() => {
  lines = [];
  desk = createRequestDesk((line) => lines.push(line));
  desk.update({ requests: [], maxPending: 5 });
});

afterEach(() => {
  vi.useRealTimers();
});

/** The host tells these requests, and no others. */
const tell = (...requests: RequestView[]) => desk.update({ requests, maxPending: 5 });

const decided = (request: RequestView, change: Partial<RequestView>): RequestView => ({
  ...request,
  state: 'approved',
  decidedAt: '2026-11-24T09:00:00.000Z',
  ...change,
});

describe('asking', () => {
  test('tells the host of a new request in one line that it can read', () => {
    const { id, askedAt } = desk.ask(question);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.endsWith('\n')).toBe(true);
    expect(parseAskLine(lines[0]?.trimEnd() ?? '')).toEqual({ id, ask: question, askedAt });
  });

  test('the same while it is pending or approved gives the same request, and tells nothing more', () => {
    const first = desk.ask(toHost('a.example'));
    expect(desk.ask(toHost('A.example'))).toEqual(first);
    tell(decided(first, { note: 'go' }));
    expect(desk.ask(toHost('a.example'))).toMatchObject({ id: first.id, state: 'approved', note: 'go' });
    expect(lines).toHaveLength(1);
  });

  test('for what the host has never told of tells it again, ten minutes later, while the agent waits', async () => {
    vi.useFakeTimers();
    const { id } = desk.ask(question);
    vi.advanceTimersByTime(10 * 60_000 - 1);
    await desk.decision(id, 0, NEVER);
    desk.ask(question);
    expect(lines).toHaveLength(1);
    vi.advanceTimersByTime(1);
    await desk.decision(id, 0, NEVER);
    desk.ask(question);
    expect(lines).toEqual([lines[0], lines[0]]);
    tell(decided(desk.find(id) as RequestView, { state: 'pending', decidedAt: null }));
    vi.advanceTimersByTime(60 * 60_000);
    await desk.decision(id, 0, NEVER);
    expect(lines).toHaveLength(2);
  });

  test('the same has the same id in every process', () => {
    const other = createRequestDesk(() => {});
    other.update({ requests: [], maxPending: 5 });
    other.ask(toHost('b.example'));
    expect(other.ask(question).id).toBe(desk.ask(question).id);
  });

  test('again after a refusal, or after a grant is over, is a new request with an id of its own', () => {
    const first = desk.ask(question);
    tell(decided(first, { state: 'denied' }));
    const second = desk.ask(question);
    tell(decided(first, { state: 'denied' }), decided(second, { expiresAt: '2020-01-01T00:00:00.000Z' }));
    const third = desk.ask(question);
    expect(new Set([first.id, second.id, third.id]).size).toBe(3);
    expect([second.state, third.state]).toEqual(['pending', 'pending']);
    expect(lines).toHaveLength(3);
    expect(desk.ask(question).id).toBe(third.id);
  });

  test('again in a process that knows only what the host told gives the ids of before', () => {
    const first = desk.ask(question);
    const denied = decided(first, { state: 'denied' });
    tell(denied);
    const second = desk.ask(question);

    const restarted = createRequestDesk(() => {});
    restarted.update({ requests: [denied], maxPending: 5 });
    expect(restarted.find(second.id)).toBeUndefined();
    expect(restarted.ask(question).id).toBe(second.id);
  });

  test('something else whose id clashes gets another id, never the approval of the first', () => {
    const { id } = desk.ask(question);
    const clash = decided({ ...desk.ask(toHost('approved.example')), id }, {});
    const fresh = createRequestDesk(() => {});
    fresh.update({ requests: [clash], maxPending: 5 });
    const asked = fresh.ask(question);
    expect(asked.state).toBe('pending');
    expect(asked.id).not.toBe(id);
    expect(askKey(fresh.find(id)?.ask as Ask)).toBe(askKey(toHost('approved.example')));
    expect(fresh.ask(question).id).toBe(asked.id);
  });

  test('more than is taken is refused until one is decided, yet what is known is answered', () => {
    desk.update({ requests: [], maxPending: 2 });
    const first = desk.ask(toHost('a.example'));
    desk.ask(toHost('b.example'));
    expect(() => desk.ask(question)).toThrow('2 requests wait for the operator already');
    expect(desk.ask(toHost('b.example')).state).toBe('pending');
    expect(lines).toHaveLength(2);
    desk.update({ requests: [decided(first, {})], maxPending: 2 });
    expect(desk.ask(question).state).toBe('pending');
  });
});

describe('what the host tells', () => {
  test('takes the place of what was only asked here', () => {
    const asked = desk.ask(question);
    tell({ ...asked, askedAt: '2026-01-01T00:00:00.000Z' });
    expect(desk.find(asked.id)?.askedAt).toBe('2026-01-01T00:00:00.000Z');
    expect(desk.pending()).toHaveLength(1);
  });

  test('leaves what it does not know yet', () => {
    const asked = desk.ask(question);
    const other = desk.ask(toHost('a.example'));
    tell(other);
    expect(
      desk
        .pending()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([asked.id, other.id].sort());
  });

  test('is forgotten when it tells it no more', () => {
    const asked = desk.ask(question);
    tell(decided(asked, {}));
    tell();
    expect(desk.find(asked.id)).toBeUndefined();
  });

  test('a grant is expired from its end on, also when the host has not said so yet', () => {
    vi.useFakeTimers({ now: Date.parse('2026-11-24T09:59:59.999Z') });
    const asked = desk.ask(toHost('a.example'));
    tell(decided(asked, { expiresAt: '2026-11-24T10:00:00.000Z' }));
    expect(desk.find(asked.id)?.state).toBe('approved');
    vi.advanceTimersByTime(1);
    expect(desk.find(asked.id)?.state).toBe('expired');
  });
});

describe('waiting for a decision', () => {
  test('ends with the decision, for everyone who waits for it and for nobody else', async () => {
    const one = desk.ask(toHost('a.example'));
    const other = desk.ask(question);
    const both = [desk.decision(one.id, 30_000, NEVER), desk.decision(one.id, 30_000, NEVER)];
    const leave = new AbortController();
    const third = desk.decision(other.id, 30_000, leave.signal);
    expect(desk.waiting()).toBe(3);
    tell(decided(one, { state: 'denied' }), other);
    await Promise.all(both);
    expect(desk.waiting()).toBe(1);
    leave.abort();
    await third;
    expect(desk.waiting()).toBe(0);
  });

  test('ends when the host no longer knows the request', async () => {
    const asked = desk.ask(question);
    tell(asked);
    const waiting = desk.decision(asked.id, 30_000, NEVER);
    tell();
    await waiting;
  });

  test('ends after its time, and not before', async () => {
    vi.useFakeTimers();
    const { id } = desk.ask(question);
    const waiting = desk.decision(id, 1000, NEVER);
    await vi.advanceTimersByTimeAsync(999);
    expect(desk.waiting()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await waiting;
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each(['what is decided', 'what is unknown', 'no time', 'a client that is gone'])(
    'is over at once for %s',
    async (what) => {
      vi.useFakeTimers();
      const { id } = desk.ask(question);
      if (what === 'what is decided') tell(decided(desk.ask(question), {}));
      const gone = new AbortController();
      gone.abort();
      await desk.decision(
        what === 'what is unknown' ? 'ffffffff' : id,
        what === 'no time' ? 0 : 30_000,
        what === 'a client that is gone' ? gone.signal : NEVER,
      );
      expect(desk.waiting()).toBe(0);
      expect(vi.getTimerCount()).toBe(0);
    },
  );
});
