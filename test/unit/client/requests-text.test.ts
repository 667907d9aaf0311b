import { describe, expect, test } from 'vitest';
import { PLAIN } from '../../../src/client/render/colours.ts';
import { requestLines } from '../../../src/client/render/requests-text.ts';
import { statusText } from '../../../src/client/render/status-text.ts';
import type { Ask, RequestView } from '../../../src/core/requests.ts';
import { STARTED, status, step } from './status-fixture.ts';

const ASKED = '2026-11-23T10:00:00.000Z';
const NOW = Date.parse(ASKED) + 125_000;
const route = (change: Partial<Extract<Ask, { kind: 'egress-route' }>> = {}): Ask => ({
  kind: 'egress-route',
  host: 'api.test',
  methods: ['GET', 'POST'],
  pathPrefix: '/v1',
  reason: 'to read the numbers',
  ...change,
});
const question: Ask = { kind: 'question', question: 'Which one?', options: ['this', 'that'] };
const request = (ask: Ask, change: Partial<RequestView> = {}): RequestView => ({
  id: 'deadbeef',
  ask,
  askedAt: ASKED,
  state: 'pending',
  decidedAt: null,
  note: null,
  expiresAt: null,
  private: false,
  ...change,
});
const lines = (view: RequestView, bottle = 'demo') => requestLines(bottle, view, NOW, PLAIN);

describe('a request that waits', () => {
  test('for a route says who, what and why, and which commands answer it', () => {
    expect(lines(request(route()))).toEqual([
      'demo  deadbeef  pending  asked 2 min 5 s ago',
      '  wants the route GET,POST api.test/v1',
      '  because: to read the numbers',
      expect.stringMatching(/^ {2}bottle approve demo deadbeef .*--for 1h/),
      expect.stringMatching(/^ {2}bottle deny demo deadbeef( |$)/),
    ]);
  });

  test('for a host says that it is the whole host, and no less', () => {
    expect(lines(request(route({ methods: [], pathPrefix: null })))).toContain('  wants the host api.test, whole');
    expect(lines(request(route({ methods: [] })))).toContain('  wants the route api.test/v1');
    expect(lines(request(route({ pathPrefix: null })))).toContain('  wants the route GET,POST api.test');
  });

  test('for an answer has the question and what the agent proposes', () => {
    expect(lines(request(question))).toEqual([
      'demo  deadbeef  pending  asked 2 min 5 s ago',
      '  question: Which one?',
      '  options: this / that',
      '  bottle approve demo deadbeef --note "your answer"',
      '  bottle deny demo deadbeef',
    ]);
    expect(lines(request({ ...question, options: [] })).join('\n')).not.toContain('options');
  });
});

describe('a request that is answered', () => {
  const decidedAt = '2026-11-23T10:01:00.000Z';

  test('has the answer and its end, and no commands', () => {
    const change = { state: 'approved', decidedAt, note: 'be quick', expiresAt: '2026-11-23T11:00:00.000Z' } as const;
    expect(lines(request(route(), { ...change, private: true }))).toEqual([
      'demo  deadbeef  approved  asked 2 min 5 s ago',
      '  wants the route GET,POST api.test/v1',
      '  because: to read the numbers',
      '  may be at a private address',
      '  note: be quick',
      '  ends 2026-11-23T11:00:00.000Z',
    ]);
    expect(lines(request(route(), { ...change, state: 'expired' }))).toContain('  ended 2026-11-23T11:00:00.000Z');
    expect(lines(request(route(), { state: 'denied', decidedAt })).join('\n')).not.toMatch(/bottle |note|ends|private/);
  });
});

test("an agent's words move no cursor, end no line and reorder nothing", () => {
  const trick = 'a\u001b[2Jb\nc\u202ed\u0007';
  const told = [
    ...lines(request(route({ reason: trick, pathPrefix: `/${trick}` }), { id: trick, note: trick }), trick),
    ...lines(request({ kind: 'question', question: trick, options: [trick] })),
  ].join('');
  expect(told).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

describe('the status of a bottle', () => {
  const bundle = { container: 'bottle-demo-bundle', daemons: { pipelock: 'ready', egress: 'failed' }, refused: [] };
  const text = (over: Parameters<typeof status>[1]) =>
    statusText(status([step('check', 'done')], over), { now: STARTED + 125_000 });

  test('has what waits for the operator, and not what is answered', () => {
    const requests = [request(route()), request(question, { id: 'cafecafe', state: 'approved', note: 'this' })];
    const told = text({ requests });
    expect(told).toContain('\n\ndemo  deadbeef  pending  asked 2 min 5 s ago\n  wants the route');
    expect(told).not.toContain('cafecafe');
  });

  test('says where a credential was refused', () => {
    const refused = [{ route: 'anthropic', status: 401, at: ASKED }];
    expect(text({ bundle: { ...bundle, scanner: 'pipelock', refused } })).toContain(
      `the credential of anthropic was refused by the upstream (401) at ${ASKED}`,
    );
  });

  test('says every daemon, and that contents are not scanned where the proxy stands in', () => {
    expect(text({ bundle: { ...bundle, scanner: 'allow-list' } })).toMatch(/^scanner {6}.*contents are not scanned$/m);
    const scanned = text({ bundle: { ...bundle, scanner: 'pipelock' } });
    expect(scanned).not.toContain('scanner');
    expect(scanned).toContain('bottle-demo-bundle  pipelock ready, egress failed');
  });
});
