import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BottleError } from '../../../src/core/errors.ts';
import {
  assertBottleId,
  bundleName,
  candidateId,
  isBottleId,
  LABEL,
  machineName,
  networkName,
  taskQueueOf,
} from '../../../src/core/names.ts';

const letterOrDigit = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789');
const bottleIds = fc
  .array(fc.tuple(fc.boolean(), letterOrDigit), { minLength: 1, maxLength: 20, size: 'max' })
  .map((parts) => parts.map(([dash, char], index) => (dash && index > 0 ? `-${char}` : char)).join(''));
const agents = fc.stringMatching(/^[a-z](-?[a-z0-9]){0,80}$/);
const attempt = fc.integer({ min: 1, max: 1000 });

describe('a bottle id', () => {
  it('is lower-case letters and digits with single dashes between them', () => {
    fc.assert(
      fc.property(bottleIds, (id) => {
        expect(isBottleId(id)).toBe(true);
      }),
    );
  });

  it('is none with anything else in it, wherever that stands', () => {
    const other = fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }).filter((char) => !/[a-z0-9-]/.test(char));
    fc.assert(
      fc.property(bottleIds, other, fc.nat({ max: 40 }), (id, char, place) => {
        expect(isBottleId(id.slice(0, place) + char + id.slice(place))).toBe(false);
      }),
    );
  });

  it('is none with a dash at either end, or two in a row', () => {
    fc.assert(
      fc.property(bottleIds, (id) => {
        expect(isBottleId(`-${id}`)).toBe(false);
        expect(isBottleId(`${id}-`)).toBe(false);
        expect(isBottleId(`${id}--${id}`)).toBe(false);
      }),
    );
  });

  it.each([
    ['a', true],
    ['7', true],
    ['a'.repeat(40), true],
    ['a'.repeat(41), false],
    ['', false],
    ['Demo', false],
    ['demo\n', false],
    ['../demo', false],
  ])('%j: %s', (id, valid) => {
    expect(isBottleId(id)).toBe(valid);
  });

  it('is refused with a code, a hint and no more of it than fits a line', () => {
    expect(() => assertBottleId('demo-2')).not.toThrow();
    const refused = caught(() => assertBottleId('X'.repeat(500)));
    expect(refused).toBeInstanceOf(BottleError);
    expect(refused).toMatchObject({ code: 'INVALID_ID', hint: expect.stringContaining('at most 40 characters') });
    expect((refused as BottleError).message.length).toBeLessThan(100);
  });
});

describe('the id that is tried for an agent', () => {
  it('is the name itself first, then the name with -2, -3, ...', () => {
    expect([1, 2, 3, 12].map((n) => candidateId('researcher', n))).toEqual([
      'researcher',
      'researcher-2',
      'researcher-3',
      'researcher-12',
    ]);
  });

  it('is a bottle id for an agent name of any length, and tells which attempt it is', () => {
    fc.assert(
      fc.property(agents, attempt, (agent, n) => {
        const id = candidateId(agent, n);
        expect(isBottleId(id), id).toBe(true);
        expect(n === 1 || id.endsWith(`-${n}`), id).toBe(true);
        expect(agent.startsWith(n === 1 ? id : id.slice(0, -`-${n}`.length)), id).toBe(true);
      }),
    );
  });

  it('is a bottle id for every agent name that a manifest may have', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,80}$/), attempt, (agent, n) => {
        expect(isBottleId(candidateId(agent, n))).toBe(true);
      }),
      { seed: 1 },
    );
  });

  it('is another one for every attempt after the first', () => {
    fc.assert(
      fc.property(agents, fc.uniqueArray(fc.integer({ min: 2, max: 1000 }), { minLength: 2 }), (agent, attempts) => {
        expect(new Set(attempts.map((n) => candidateId(agent, n))).size).toBe(attempts.length);
      }),
    );
  });
});

describe('names made from an id', () => {
  it('are those of the contract', () => {
    expect(networkName('demo')).toBe('bottle-demo');
    expect(bundleName('demo')).toBe('bottle-demo-bundle');
    expect(machineName('demo')).toBe('bottle-demo-machine');
    expect(taskQueueOf('mac-1')).toBe('bottle@mac-1');
    expect(Object.values(LABEL)).toEqual(
      ['bottle', 'run', 'owner', 'step', 'spec', 'bundle'].map((label) => `bottleworks.${label}`),
    );
  });
});

function caught(act: () => void): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}
