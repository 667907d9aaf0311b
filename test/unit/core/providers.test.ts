import { expect, test } from 'vitest';
import { TEMPLATES } from '../../../src/core/manifest/bottle-schema.ts';
import { PROVIDERS } from '../../../src/core/providers/providers.ts';
import { providerContract } from '../../contract/provider.testsuite.ts';

test('there is a module for every template that a manifest may name, and routes are not shared', () => {
  expect(Object.keys(PROVIDERS).sort()).toEqual([...TEMPLATES].sort());
  const routes = Object.values(PROVIDERS).map(({ route }) => route);
  expect(new Set(routes).size).toBe(routes.length);
});

for (const template of TEMPLATES) providerContract(template, PROVIDERS[template]);
