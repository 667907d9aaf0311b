import { describe, expect, test } from 'vitest';
import { inWords, requestAnswer, routeLine, summaryOf } from '../../../src/bundle/supervise-answers.ts';
import { questionAsk, routeAsk } from '../../../src/core/asks.ts';
import type { RouteView } from '../../../src/core/bundle-config.ts';
import type { Ask, RequestView } from '../../../src/core/requests.ts';

const view = (ask: Ask, change: Partial<RequestView> = {}): RequestView => ({
  id: '0123abcd',
  ask,
  askedAt: '2026-11-24T09:00:00.000Z',
  state: 'approved',
  decidedAt: '2026-11-24T09:01:00.000Z',
  note: null,
  expiresAt: null,
  private: false,
  ...change,
});

const host = (name: string): RouteView => ({
  url: `https://${name}`,
  upstream: `https://${name}`,
  methods: [],
  paths: [],
  credential: false,
  expiresAt: null,
});
const throughEgress = (id: string, upstream: string, change: Partial<RouteView> = {}): RouteView => ({
  ...host('x'),
  url: `http://egress:9099/${id}`,
  upstream,
  ...change,
});

const whole = routeAsk({ host: 'api.example.com', reason: 'r' });
const narrow = routeAsk({ host: 'api.example.com', methods: ['GET'], pathPrefix: '/repos/', reason: 'r' });
const grantedNarrow = throughEgress('api.example.com', 'https://api.example.com', {
  methods: ['GET'],
  paths: [{ type: 'prefix', value: '/repos/' }],
});
const withCredential = throughEgress('github', 'https://api.example.com', { credential: true });

describe('the url of a granted route', () => {
  const urlOf = (ask: Ask, ...routes: RouteView[]) => requestAnswer(view(ask), routes).url;

  test('is the host itself when the whole host was asked for', () => {
    expect(urlOf(whole, withCredential, grantedNarrow, host('api.example.com'))).toBe('https://api.example.com');
  });

  test('is the one that was made for it, not one that puts a credential in', () => {
    expect(urlOf(narrow, withCredential, grantedNarrow)).toBe('http://egress:9099/api.example.com');
  });

  test('is a wider one when nothing else is there', () => {
    expect(urlOf(narrow, withCredential)).toBe('http://egress:9099/github');
  });

  test.each<[string, Ask, RouteView]>([
    ['another host', whole, host('example.com')],
    ['another port', routeAsk({ host: 'api.example.com:8443', reason: 'r' }), host('api.example.com')],
    ['the hosts below one', whole, host('*.example.com')],
    ['fewer methods', whole, { ...withCredential, methods: ['GET'] }],
    ['fewer paths', whole, grantedNarrow],
    ['a path beside it', narrow, { ...grantedNarrow, paths: [{ type: 'prefix', value: '/repo' }] }],
    ['a path below it', narrow, { ...grantedNarrow, paths: [{ type: 'prefix', value: '/repos/me' }] }],
    ['paths of another kind', narrow, { ...grantedNarrow, paths: [{ type: 'regex', value: '/repos/' }] }],
    ['an upstream that is no address', whole, throughEgress('odd', '!')],
  ])('is never one to %s', (_what, ask, route) => {
    expect(requestAnswer(view(ask), [route])).toMatchObject({
      url: null,
      next: expect.stringContaining('no route is in force'),
    });
  });

  test.each([
    ['example.com:443', 'https://example.com'],
    ['example.com:8443', 'https://example.com:8443'],
  ])('is found for %s', (name, url) => {
    expect(urlOf(routeAsk({ host: name, reason: 'r' }), { ...host('x'), url, upstream: url })).toBe(url);
  });

  test.each<RequestView['state']>(['pending', 'denied', 'expired'])('is not told of one that is %s', (state) => {
    expect(requestAnswer(view(whole, { state, expiresAt: 'x' }), [host('api.example.com')])).toMatchObject({
      status: state,
      url: null,
      expiresAt: null,
    });
  });
});

describe('the words', () => {
  test('say how the host itself is used', () => {
    const words = inWords(requestAnswer(view(whole), [host('api.example.com')]));
    expect(words).toBe(
      '0123abcd: approved\nUse https://api.example.com as usual, through the proxy that is set in your environment.',
    );
  });

  test('say where a narrow grant is reached, until when, and what the operator said', () => {
    const words = inWords(
      requestAnswer(view(narrow, { note: 'be quick', expiresAt: '2026-11-24T10:00:00.000Z' }), [grantedNarrow]),
    );
    expect(words).toContain('The operator says: be quick\nUntil 2026-11-24T10:00:00.000Z.\n');
    expect(words).toContain('plain HTTP requests to http://egress:9099/api.example.com/repos/...');
  });

  test('give the answer to a question', () => {
    const answer = requestAnswer(view(questionAsk({ question: 'which?' }), { note: 'the left one' }), []);
    expect(inWords(answer)).toBe('0123abcd: approved\nThe operator says: the left one\nThe question is answered.');
  });

  test('tell what waits and what can be reached in a line each', () => {
    expect(summaryOf(whole)).toBe('route to api.example.com (any method, any path)');
    expect(summaryOf(narrow)).toBe('route to api.example.com (GET, /repos/)');
    expect(summaryOf(questionAsk({ question: 'which?' }))).toBe('question: which?');
    expect(routeLine(host('a.example'))).toBe('https://a.example (any method, any path, no end)');
    expect(routeLine({ ...grantedNarrow, credential: true, expiresAt: 'T' })).toBe(
      'http://egress:9099/api.example.com (GET, prefix /repos/, a credential is put in for you, until T)',
    );
  });
});
