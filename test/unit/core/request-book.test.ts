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
  for (let n = 0; n < 20; n += 1) {
    book.add([question(`q${n}`)]);
    book.decide(verdict(`q${n}`), NOW + n);
  }
  book.add(Array.from({ length: 100 }, (_, n) => question(`w${n}`)));
  book.decide(verdict('w1'), NOW + 100);
  const kept = book.view().map(({ id }) => id);
  expect(kept).toContain('waits');
  expect(kept).toContain('granted');
  expect(kept).not.toContain('denied');
  expect(kept).toContain('w99');
  // Whoever asked has to learn of the newest answers, however much is kept.
  expect(kept.filter((id) => id.startsWith('q'))).toHaveLength(19);
  expect(book.forgotten).toBe(2);
});

test('a year of long questions and answers takes a bounded book, and each answer is whole while it is new', () => {
  for (let n = 0; n < 5000; n += 1) {
    book.add([{ ...question(`q${n}`), ask: { kind: 'question', question: '問'.repeat(2000), options: [] } }]);
    book.decide(verdict(`q${n}`, { note: '答'.repeat(900) }), NOW + n);
  }
  expect(book.view()).toHaveLength(100);
  expect(book.forgotten).toBe(4900);
  expect(Buffer.byteLength(JSON.stringify(book.snapshot()))).toBeLessThan(350_000);
  expect(book.view().at(-20)?.note).toHaveLength(900);
  expect(book.view()[0]?.note).toBe(`${'答'.repeat(119)}…`);
});

test('no more than a thousand grants are in force at a time', () => {
  book.add(Array.from({ length: 1001 }, (_, n) => route(`r${n}`)));
  for (let n = 0; n < 1000; n += 1) book.decide(verdict(`r${n}`), NOW);
  expect(book.refusal(verdict('r1000'))).toBe('1000 grants are in force already: deny one of them first');
  expect(book.refusal(verdict('r1000', { approve: false }))).toBeUndefined();
  expect(book.refusal(verdict('r7', { note: 'still' }))).toBeUndefined();
  book.decide(verdict('r7', { approve: false }), NOW);
  expect(book.refusal(verdict('r1000'))).toBeUndefined();
});

describe('what the host has to learn', () => {
  const ids = (since: number) => {
    const { changed, dropped } = book.changes(since);
    return [changed.map(({ id }) => id), dropped];
  };

  test('is everything at first, and then what changed since', () => {
    book.add([route('a'), route('b')]);
    const first = book.changes(0);
    expect(ids(0)).toEqual([['a', 'b'], []]);
    book.told(first.version);
    expect(ids(first.version)).toEqual([[], []]);
    book.decide(verdict('b'), NOW);
    book.add([route('c')]);
    expect(ids(first.version)).toEqual([['b', 'c'], []]);
    expect(ids(0)).toEqual([['a', 'b', 'c'], []]);
  });

  test('names what is kept no more', () => {
    for (let n = 0; n < 101; n += 1) {
      if (n === 100) book.told(book.changes(0).version);
      book.add([question(`q${n}`)]);
      book.decide(verdict(`q${n}`), NOW + n);
    }
    const since = 200;
    expect(book.changes(since).dropped).toEqual(['q0']);
    expect(book.changes(since).changed.map(({ id }) => id)).toEqual(['q100']);
  });
});

test('a book that goes on from what another knew, as JSON, is that book', () => {
  book.add([route('a'), question('q'), route('timed')]);
  book.decide(verdict('timed', { forMs: 1000 }), NOW);
  const next = new RequestBook(JSON.parse(JSON.stringify(book.snapshot())));
  expect(next.snapshot()).toEqual(book.snapshot());
  expect(next.nextEnd()).toBe(NOW + 1000);
  expect(next.changes(1)).toEqual(book.changes(1));
  next.decide(verdict('q'), NOW);
  expect([next.answers, book.answers]).toEqual([2, 1]);
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

test('of an adopted bottle waits on what waited, and no grant is in force', () => {
  book.add([route('granted'), route('denied'), question('answered'), route('waits')]);
  book.decide(verdict('granted', { private: true }), NOW);
  book.decide(verdict('denied', { approve: false }), NOW);
  book.decide(verdict('answered', { note: 'this' }), NOW);
  const next = new RequestBook();
  next.takeOver(book.view());
  expect(next.view().map(({ id, state }) => `${id} ${state}`)).toEqual([
    'granted expired',
    'denied denied',
    'answered approved',
    'waits pending',
  ]);
  expect(grantsOf(next.view())).toEqual([]);
  expect(next.changes(0).changed, 'the host is told all of it').toEqual(next.view());
  expect(next.add([route('waits'), route('granted')]), 'the log tells nothing new').toBe(false);
  next.decide(verdict('waits'), NOW);
  expect(grantsOf(next.view())).toMatchObject([{ host: 'waits.test' }]);
});
