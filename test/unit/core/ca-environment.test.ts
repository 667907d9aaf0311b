import { expect, test } from 'vitest';
import { ADDED_CAS, caEnvironment } from '../../../src/core/ca-environment.ts';
import { GUEST } from '../../../src/core/plan.ts';

test('programs that add to a list of their own are given what was added, the others the whole store', () => {
  const { NODE_EXTRA_CA_CERTS, DENO_CERT, ...others } = caEnvironment();
  expect([NODE_EXTRA_CA_CERTS, DENO_CERT]).toEqual([ADDED_CAS, ADDED_CAS]);
  expect(new Set(Object.values(others))).toEqual(new Set([GUEST.caBundle]));
});

test('each caller has variables of its own to change', () => {
  const changed = caEnvironment();
  changed['SSL_CERT_FILE'] = '/elsewhere';
  expect(caEnvironment()['SSL_CERT_FILE']).toBe(GUEST.caBundle);
});
