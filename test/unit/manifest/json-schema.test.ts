import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { jsonSchema } from '../../../src/core/manifest/json-schema.ts';
import type { ManifestKind } from '../../../src/core/manifest/older-keys.ts';
import { SCHEMAS } from './said.ts';

const KINDS = ['agent', 'bottle', 'config'] as const;
interface Node {
  description?: string;
  properties?: Record<string, Node>;
  required?: string[];
  additionalProperties?: unknown;
}
const node = (kind: ManifestKind): Node => jsonSchema(kind) as Node;

describe.each(KINDS)('the schema of %s', (kind) => {
  test('is of the draft that editors know, and says what it is for', () => {
    expect(jsonSchema(kind)).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      title: expect.stringMatching(/bottleworks/),
    });
  });

  test('has every key of the real one, requires none, and allows no other', () => {
    const { properties = {}, required = [], additionalProperties } = node(kind);
    expect(Object.keys(properties)).toEqual(Object.keys(SCHEMAS[kind].shape));
    expect(required).toEqual([]);
    expect(additionalProperties).toBe(false);
  });

  test('is plain JSON, and the same each time', () => {
    expect(JSON.parse(JSON.stringify(jsonSchema(kind)))).toEqual(jsonSchema(kind));
  });
});

describe('what an editor takes for right and wrong', () => {
  const takes = (kind: ManifestKind, value: unknown): boolean =>
    z.fromJSONSchema(jsonSchema(kind) as z.core.JSONSchema.JSONSchema).safeParse(value).success;

  test.each<[ManifestKind, unknown]>([
    ['agent', {}],
    ['agent', { bottle: 'dev', skills: ['x'], env: { A: 'x', B: 1, C: true }, model: ['left', 'as it is'] }],
    ['agent', { image: 'mine:1', resources: { cpus: 0.5 }, 'git-gate': { user: { name: 'x' } } }],
    ['bottle', { extends: 'a', image: { dockerfile: 'x' } }],
    ['bottle', { driver: 'smolvm', image: { smolmachine: './x.smolmachine' } }],
    ['bottle', { extends: ['a', 'b'], agent_provider: { auth_token: 'A' } }],
    ['bottle', { agent_provider: { auth_token: { env: 'A' } }, limits: { idle: '5m' } }],
    [
      'bottle',
      {
        egress: { routes: [{ host: 'x.test', auth: { scheme: 'token', token_ref: 'A' } }] },
        'git-gate': {
          repos: {
            a: { url: 'https://h.test/a', key: { provider: 'token', token_ref: 'A' } },
            b: { url: 'ssh://git@h.test/b', key: { provider: 'static', path: '/k' }, host_key: 'ssh-rsa AAAA' },
          },
        },
      },
    ],
    ['config', { driver: 'docker', network: { uplink: 'x' }, resources: {} }],
  ])('is right: %s %j', (kind, value) => {
    // It must not find fault with what is right for the code.
    expect(SCHEMAS[kind].safeParse(value).error).toBeUndefined();
    expect(takes(kind, value)).toBe(true);
  });

  test.each<[ManifestKind, unknown]>([
    ['agent', { skill: [] }],
    ['agent', { skills: 'x' }],
    ['agent', { driver: 'podman' }],
    ['agent', { resources: { cpu: 1 } }],
    ['bottle', { skills: [] }],
    ['bottle', { supervise: 'yes' }],
    ['bottle', { extends: 7 }],
    ['bottle', { egress: { routes: [{}] } }],
    ['bottle', { egress: { routes: [{ host: 'x.test', auth: { scheme: 'Bearer' } }] } }],
    ['bottle', { 'git-gate': { repos: { a: { url: 'https://h.test/a', key: { provider: 'gitea' } } } } }],
    ['bottle', { agent_provider: { template: 'pi' } }],
    ['config', { network: { pool: 7 } }],
    ['config', []],
  ])('is wrong: %s %j', (kind, value) => {
    expect(SCHEMAS[kind].safeParse(value).success).toBe(false);
    expect(takes(kind, value)).toBe(false);
  });
});
