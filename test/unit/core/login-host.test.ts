import { expect, test } from 'vitest';
import { loginHost } from '../../../src/core/providers/login-host.ts';
import { NONE } from './plan-fixture.ts';

const ROUTE = { id: 'a', upstream: 'https://a.test', matches: [], auth: null, private: false, ca: null };
const open = (...allow: string[]) => ({ ...NONE, pipelock: { allow, intercept: false } });

test.each([
  ['claude', open('api.anthropic.com', 'platform.claude.com'), 'api.anthropic.com'],
  ['codex', open('a.test', 'api.openai.com'), 'api.openai.com'],
])('an agent that logs in by itself dials its model: %s', (_agent, plans, host) => {
  expect(loginHost(plans)).toBe(host);
  expect(loginHost({ ...plans, egress: { routes: [] } })).toBe(host);
});

test('one with a route is looked after by egress, one that may dial no model by nobody', () => {
  expect(loginHost({ ...open('api.anthropic.com'), egress: { routes: [ROUTE] } })).toBeUndefined();
  expect(loginHost(open('a.test'))).toBeUndefined();
});
