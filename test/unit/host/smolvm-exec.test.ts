/** A command's own words apart from smolvm's on the same streams. */
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { givenVariables } from '../../../src/host/machine/smolvm/exec.ts';
import { afterMark, END_OF_PRELUDE, type Prelude, pour } from '../../../src/host/machine/smolvm/guest-output.ts';

const MARK = 'BOTTLE_EXEC=6b1e';

async function* inChunks(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const at = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  for (const [index, from] of at.slice(0, -1).entries()) yield bytes.subarray(from, at[index + 1]);
}

async function read(source: AsyncIterable<Buffer>): Promise<{ prelude: Prelude; rest: Buffer }> {
  const prelude: Prelude = { begun: false, told: '', before: '' };
  const chunks: Buffer[] = [];
  for await (const chunk of afterMark(source, MARK, prelude)) chunks.push(chunk);
  return { prelude, rest: Buffer.concat(chunks) };
}

describe('after the mark', () => {
  test('comes the command, byte for byte, wherever the stream was cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string(),
        fc.constantFrom('', '/dev/pts/0'),
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat()),
        async (before, told, said, cuts) => {
          const all = Buffer.concat([Buffer.from(`${before}${MARK}${told}${END_OF_PRELUDE}`), said]);
          const { prelude, rest } = await read(inChunks(all, cuts));
          expect(rest).toEqual(Buffer.from(said));
          expect(prelude).toEqual({ begun: true, told, before });
        },
      ),
    );
  });

  test('what looks like a mark later is the command speaking', async () => {
    const all = Buffer.from(`${MARK};one ${MARK};two`);
    expect((await read(inChunks(all, [3, 20]))).rest.toString()).toBe(`one ${MARK};two`);
  });

  test('without one, all is smolvm speaking, and of much the end is kept', async () => {
    const last = '{"error":{"code":"SMOLVM_ERROR","message":"no"}}\n';
    const { prelude, rest } = await read(
      inChunks(Buffer.from(`${'x'.repeat(300_000)}\n${last}`), [1, 70_000, 200_000]),
    );
    expect(rest).toHaveLength(0);
    expect(prelude.begun).toBe(false);
    expect(prelude.before.endsWith(last)).toBe(true);
    expect(prelude.before.length).toBeLessThan(300_000);
  });
});

describe('pouring', () => {
  test('waits for who is slow', async () => {
    let written = 0;
    async function* source(): AsyncGenerator<Buffer> {
      for (; written < 100; written++) yield Buffer.alloc(1000);
    }
    const to = new PassThrough({ highWaterMark: 2000 });
    const poured = pour(source(), to);
    await sleep(50);
    expect(written).toBeLessThan(10);
    to.resume();
    await poured;
    expect(written).toBe(100);
  });

  test.each(['before', 'while it waits'])('reads on to the end when the taker was closed %s', async (when) => {
    let written = 0;
    async function* source(): AsyncGenerator<Buffer> {
      for (; written < 100; written++) yield Buffer.alloc(1000);
    }
    const to = new Writable({ highWaterMark: 10, write: () => undefined });
    if (when === 'before') to.destroy();
    const poured = pour(source(), to);
    await sleep(20);
    to.destroy();
    await poured;
    expect(written).toBe(100);
  });
});

test('what somebody gave a command as its environment is in no argument of smolvm, and under no name that smolvm heeds', () => {
  const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,9}$/);
  // Long enough to be no part of a name.
  const value = fc.string({ minLength: 20 });
  fc.assert(
    fc.property(fc.dictionary(name, value), (env) => {
      const { args, secrets } = givenVariables({ ...env, EMPTY: '' });
      const told = Object.keys(env).filter((key) => args.some((word) => word.includes(env[key] as string)));
      expect(told).toEqual([]);
      const given = args.flatMap((word, at) => (args[at - 1] === '--secret-env' ? [word.split('=')] : []));
      expect(Object.fromEntries(given.map(([key, from]) => [key, secrets[from as string]]))).toEqual(
        Object.fromEntries(Object.entries(env).filter(([key]) => key !== 'EMPTY')),
      );
      expect(Object.keys(secrets).every((key) => /^BOTTLE_GIVEN_\d+$/.test(key))).toBe(true);
      expect(args.slice(args.indexOf('-e'), args.indexOf('-e') + 2)).toEqual(['-e', 'EMPTY=']);
    }),
  );
});
