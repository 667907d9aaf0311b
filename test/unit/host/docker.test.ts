import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BottleError } from '../../../src/core/errors.ts';
import { LABEL } from '../../../src/core/names.ts';
import {
  assertOurs,
  type DockerHost,
  engine,
  ensureGone,
  isWanted,
  isWantedOf,
  labelFilter,
  objectLabels,
  specHash,
} from '../../../src/host/docker.ts';

const host = { owner: 'cluster/default' } as DockerHost;
const bottle = { id: 'demo', runId: 'run-1' };
const httpError = (statusCode: number, message: string) =>
  Object.assign(new Error(`(HTTP code ${statusCode})`), { statusCode, json: { message } });

describe('the hash of a specification', () => {
  test('is the same whatever the order of keys, and another for another value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (spec) => {
        const reversed = Object.fromEntries(Object.entries(spec).reverse());
        expect(specHash({ inner: reversed })).toBe(specHash({ inner: spec }));
        expect(specHash({ inner: spec, more: 1 })).not.toBe(specHash({ inner: spec }));
      }),
    );
    expect(specHash(['a', 'b'])).not.toBe(specHash(['b', 'a']));
  });

  test('is 64 hex digits, and stays what it was: objects out there carry it', () => {
    expect(specHash({ b: [1, { d: null, c: 'x' }], a: true })).toBe(
      'f124912702a4df295dd1287de9a38d9144a0910b9ffde3ff7be7b830370ad065',
    );
  });
});

describe('labels', () => {
  const labels = objectLabels(host, bottle, 'network', { pool: 'x' });

  test('are those of the contract', () => {
    expect(labels).toEqual({
      'bottleworks.bottle': 'demo',
      'bottleworks.run': 'run-1',
      'bottleworks.owner': 'cluster/default',
      'bottleworks.step': 'network',
      'bottleworks.spec': specHash({ pool: 'x' }),
    });
  });

  test.each([LABEL.owner, LABEL.run, LABEL.spec])('make an object unwanted when %s differs', (label) => {
    expect(isWanted(labels, labels)).toBe(true);
    expect(isWanted({ ...labels, [label]: 'other' }, labels)).toBe(false);
    expect(isWanted(undefined, labels)).toBe(false);
  });

  test('of an adopted bottle make an object wanted whatever it was made from, but of its own maker alone', () => {
    const adopted = { ...bottle, madeBy: { owner: host.owner, run: bottle.runId } };
    const older = { ...labels, [LABEL.spec]: 'of an earlier version' };
    expect([isWantedOf(adopted, older, labels), isWantedOf(bottle, older, labels)]).toEqual([true, false]);
    for (const label of [LABEL.owner, LABEL.run])
      expect(isWantedOf(adopted, { ...labels, [label]: 'other' }, labels), label).toBe(false);
    expect(isWantedOf(adopted, undefined, labels)).toBe(false);
  });

  test('filter by owner always, by bottle and step where asked', () => {
    expect(labelFilter(host)).toEqual({ label: ['bottleworks.owner=cluster/default', 'bottleworks.bottle'] });
    expect(labelFilter(host, 'demo', { step: 'bundle' })).toEqual({
      label: ['bottleworks.owner=cluster/default', 'bottleworks.bottle=demo', 'bottleworks.step=bundle'],
    });
  });

  test.each([
    [undefined, 'was not made by bottle'],
    [{}, 'was not made by bottle'],
    [{ [LABEL.owner]: 'other/default' }, 'belongs to another bottle installation'],
    [{ [LABEL.owner]: '' }, 'belongs to another bottle installation'],
  ])('%j are not ours', (theirs, message) => {
    expect(() => assertOurs(host, 'network', 'bottle-demo', theirs)).toThrow(
      expect.objectContaining({
        code: 'NAME_TAKEN',
        message: `the network bottle-demo ${message}`,
        hint: expect.stringContaining('with --name'),
      }),
    );
    expect(() => assertOurs(host, 'network', 'bottle-demo', labels)).not.toThrow();
  });
});

describe("an Engine's error", () => {
  const thrown = (error: unknown): Promise<unknown> => engine('do it', () => Promise.reject(error)).catch((e) => e);

  test.each(['ECONNREFUSED', 'ENOENT', 'EACCES', 'ECONNRESET', 'EPIPE'])(
    '%s says that it does not answer',
    async (code) => {
      expect(await thrown(Object.assign(new Error('connect'), { code }))).toMatchObject({
        code: 'DOCKER_UNREACHABLE',
        retryable: true,
        message: `the Docker Engine does not answer (${code})`,
        hint: code === 'EACCES' ? 'add yourself to the docker group' : 'start Docker, then retry',
      });
    },
  );

  test('says what was tried and what the Engine answered', async () => {
    expect(await thrown(httpError(500, 'driver failed'))).toMatchObject({
      code: 'DOCKER_ERROR',
      message: 'do it: driver failed',
    });
  });

  test('stays what it is when it is ours, or no error of the Engine at all', async () => {
    const ours = new BottleError('NAME_TAKEN', 'x');
    const bug = new TypeError('x is not a function');
    expect(await thrown(ours)).toBe(ours);
    expect(await thrown(bug)).toBe(bug);
  });

  test('about what is gone or was so already counts as success where absence is wanted, and no other', async () => {
    await ensureGone('remove', () => Promise.reject(httpError(404, 'no such')));
    await ensureGone('stop', () => Promise.reject(httpError(304, 'already')));
    await expect(ensureGone('remove', () => Promise.reject(httpError(409, 'in use')))).rejects.toMatchObject({
      code: 'DOCKER_ERROR',
    });
    const down = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    await expect(ensureGone('remove', () => Promise.reject(down))).rejects.toMatchObject({
      code: 'DOCKER_UNREACHABLE',
    });
  });
});
