import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { RequestBook, type Verdict } from '../../../src/core/request-book.ts';
import { type AskedRequest, grantsOf } from '../../../src/core/requests.ts';

const NOW = Date.parse('2026-11-24T10:00:00Z');
const route = (id: string, host = `${id}.test`): AskedRequest => ({
  id,
  ask: { kind: 'egress-route', host, methods: ['GET'], pathPrefix: '/v1', reason: 'to test' },
  askedAt: '2026-11-24T09:59:00.000Z',
});
const question = (id: string): AskedRequest => ({
  id,
  ask: { kind: 'question', question: 'Which?', options: [] },
  askedAt: '2026-11-24T09:59:00.000Z',
});
const verdict = (request: string, change: Partial<Verdict> = {}): Verdict => ({
  request,
  approve: true,
  note: null,
  forMs: null,
  private: false,
  ...change,
});

let book: RequestBook;
beforeEach(() => {
  book = new RequestBook();
});
const states = () => book.view().map(({ id, state }) => `${id} ${state}`);

describe('a request', () => {
  test('is pending until it is answered, and is taken down once however often it is heard', () => {
    expect(book.add([route('a'), route('a')])).toBe(true);
    expect(book.add([route('a', 'other.test')])).toBe(false);
    expect(book.view()).toEqual([
      { ...route('a'), state: 'pending', decidedAt: null, note: null, expiresAt: null, private: false },
    ]);
    expect(book.answers).toBe(0);
  });

  test('that is approved is a grant, with the note, the end and the privacy that were said', () => {
    book.add([route('a'), question('q')]);
    book.decide(verdict('a', { note: 'fine', forMs: 60_000, private: true }), NOW);
    expect(book.view()[0]).toMatchObject({
      state: 'approved',
      note: 'fine',
      decidedAt: '2026-11-24T10:00:00.000Z',
      expiresAt: '2026-11-24T10:01:00.000Z',
      private: true,
    });
    expect(grantsOf(book.view())).toEqual([
      { host: 'a.test', methods: ['GET'], pathPrefix: '/v1', expiresAt: '2026-11-24T10:01:00.000Z', private: true },
    ]);
    expect(book.answers).toBe(1);
  });

  test('that was granted may be taken back, and that was denied be granted after all', () => {
    book.add([route('a')]);
    book.decide(verdict('a'), NOW);
    book.decide(verdict('a', { approve: false, private: true }), NOW);
    expect(book.view()[0]).toMatchObject({ state: 'denied', private: false, expiresAt: null });
    book.decide(verdict('a'), NOW);
    expect(states()).toEqual(['a approved']);
  });

  test.each([
    ['nobody', {}, 'there is no request nobody'],
    ['q', { forMs: 1000 }, 'q is a question: an answer has no end'],
  ])('%s %j is refused in words, and nothing changes', (id, change, words) => {
    book.add([question('q')]);
    expect(book.refusal(verdict(id, change))).toBe(words);
    expect(() => book.decide(verdict(id, change), NOW)).toThrow(words);
    expect(states()).toEqual(['q pending']);
  });

  test('that is a question is answered once', () => {
    book.add([question('q')]);
    book.decide(verdict('q', { note: 'blue' }), NOW);
    expect(book.refusal(verdict('q', { approve: false }))).toBe('q was answered already');
    expect(grantsOf(book.view())).toEqual([]);
  });
});

describe('a grant for a time', () => {
  test('ends when it is over, the next one first', () => {
    book.add([route('a'), route('b'), route('c')]);
    book.decide(verdict('a', { forMs: 2000 }), NOW);
    book.decide(verdict('b', { forMs: 1000 }), NOW);
    book.decide(verdict('c'), NOW);
    expect(book.nextEnd()).toBe(NOW + 1000);
    expect(book.expire(NOW + 999)).toBe(false);
    expect(book.expire(NOW + 1000)).toBe(true);
    expect(states()).toEqual(['a approved', 'b expired', 'c approved']);
    expect(book.nextEnd()).toBe(NOW + 2000);
    expect(book.answers).toBe(4);
  });
});

test('what waits and what is granted is never given up for what is new; the oldest answered is', () => {
  book.add([route('waits'), route('granted'), route('denied')]);
  book.decide(verdict('granted'), NOW);
  book.decide(verdict('denied', { approve: false }), NOW);
  book.add(Array.from({ length: 150 }, (_, n) => question(`q${n}`)));
  const kept = book.view().map(({ id }) => id);
  expect(kept).toContain('waits');
  expect(kept).toContain('granted');
  expect(kept).not.toContain('denied');
});

test('questions give way once they are answered, however they were', () => {
  book.add([question('first')]);
  book.decide(verdict('first', { note: 'this one' }), NOW);
  for (let n = 0; n < 150; n += 1) {
    book.add([question(`q${n}`)]);
    book.decide(verdict(`q${n}`, { approve: n % 2 === 0 }), NOW);
  }
  expect(book.view()).toHaveLength(100);
  expect(book.view().map(({ id }) => id)).not.toContain('first');
  expect(book.view().at(-1)?.id).toBe('q149');
});

test('what is shown is not changed afterwards', () => {
  book.add([route('a')]);
  const before = book.view();
  const text = JSON.stringify(before);
  book.decide(verdict('a', { forMs: 1 }), NOW);
  book.expire(NOW + 1);
  book.add([route('b')]);
  expect(JSON.stringify(before)).toBe(text);
});

test('a verdict that is refused changes nothing, and says why as it did when it was asked', () => {
  book.add([question('q')]);
  book.decide(verdict('q'), NOW);
  const before = [JSON.stringify(book.view()), book.answers];
  for (const said of [verdict('none'), verdict('q', { approve: false }), verdict('q', { forMs: 1 })]) {
    expect(() => book.decide(said, NOW)).toThrow(book.refusal(said));
  }
  expect([JSON.stringify(book.view()), book.answers]).toEqual(before);
});

test('whatever happens, what waits is never lost, and the next end is the earliest of the grants', () => {
  const id = fc.integer({ min: 0, max: 300 }).map((n) => `r${n}`);
  const step = fc.oneof(
    fc
      .array(id, { minLength: 1, maxLength: 40 })
      .map((ids) => (to: RequestBook) => void to.add(ids.map((each) => route(each)))),
    fc.tuple(id, fc.boolean(), fc.option(fc.integer({ min: 1, max: 50 }))).map(([name, approve, forMs]) => {
      return (to: RequestBook, now: number) => {
        const said = verdict(name, { approve, forMs: approve ? forMs : null });
        if (to.refusal(said) === undefined) to.decide(said, now);
      };
    }),
    fc.constant((to: RequestBook, now: number) => void to.expire(now)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const any = new RequestBook();
      steps.forEach((run, at) => {
        const open = [
          ...any.pending().map((request) => request.id),
          ...any
            .view()
            .filter(({ state }) => state === 'approved')
            .map((request) => request.id),
        ];
        const now = NOW + at * 10;
        run(any, now);
        const known = new Set(any.view().map((request) => request.id));
        expect(open.filter((each) => !known.has(each))).toEqual([]);
        for (const { state, decidedAt } of any.view()) expect(decidedAt === null).toBe(state === 'pending');
        const ends = grantsOf(any.view()).flatMap(({ expiresAt }) => (expiresAt === null ? [] : Date.parse(expiresAt)));
        expect(any.nextEnd()).toBe(ends.length === 0 ? undefined : Math.min(...ends));
        const next = any.nextEnd();
        if (next !== undefined && next > now) expect(any.expire(next - 1)).toBe(false);
      });
    }),
  );
});

test('whatever happens, ids stay unique, grants are approved, and every change of them is counted', () => {
  const id = fc.constantFrom('a', 'b', 'c');
  const step = fc.oneof(
    id.map((name) => (to: RequestBook) => void to.add([route(name)])),
    fc.tuple(id, fc.boolean(), fc.option(fc.integer({ min: 1, max: 50 }))).map(([name, approve, forMs]) => {
      return (to: RequestBook, now: number) => {
        const said = verdict(name, { approve, forMs: approve ? forMs : null });
        if (to.refusal(said) === undefined) to.decide(said, now);
      };
    }),
    fc.constant((to: RequestBook, now: number) => void to.expire(now)),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const any = new RequestBook();
      steps.forEach((run, at) => {
        const before = [JSON.stringify(grantsOf(any.view())), any.answers] as const;
        const now = NOW + at * 10;
        run(any, now);
        const ids = any.view().map((request) => request.id);
        expect(new Set(ids).size).toBe(ids.length);
        if (JSON.stringify(grantsOf(any.view())) !== before[0]) expect(any.answers).toBeGreaterThan(before[1]);
        any.expire(now);
        for (const { expiresAt } of grantsOf(any.view()))
          if (expiresAt !== null) expect(Date.parse(expiresAt)).toBeGreaterThan(now);
      });
    }),
  );
});
