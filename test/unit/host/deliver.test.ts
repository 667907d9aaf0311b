import { describe, expect, test } from 'vitest';
import { BottleError } from '../../../src/core/errors.ts';
import { deliver } from '../../../src/host/machine/deliver.ts';
import type { GuestFile, MachineDriver } from '../../../src/host/machine/driver.ts';

const file = (path: string): GuestFile => ({ path, mode: 0o644, content: Buffer.from(path) });
const pack = (path: string) => async () => ({ files: [file(path)] });
const never = new AbortController().signal;

/** A machine that notes each trip, and refuses those that carry one of `bad`. */
function machine(...bad: string[]): { driver: MachineDriver; trips: string[][] } {
  const trips: string[][] = [];
  const putFiles = async (_id: string, files: readonly GuestFile[]): Promise<void> => {
    const paths = files.map(({ path }) => path);
    trips.push(paths);
    const refused = paths.find((path) => bad.includes(path));
    if (refused !== undefined) throw new BottleError('PROVISION_FAILED', `${refused} is refused`);
  };
  return { driver: { putFiles } as unknown as MachineDriver, trips };
}

describe('deliveries to a machine', () => {
  test('that start together share one trip', async () => {
    const { driver, trips } = machine();
    await Promise.all(['/a', '/b', '/c'].map((path) => deliver(driver, 'one', pack(path), never)));
    expect(trips).toEqual([['/a', '/b', '/c']]);
  });

  test('of different bottles never share one', async () => {
    const { driver, trips } = machine();
    await Promise.all(['one', 'two'].map((id) => deliver(driver, id, pack(`/${id}`), never)));
    expect(trips.sort()).toEqual([['/one'], ['/two']]);
  });

  test('that come one after the other go one after the other', async () => {
    const { driver, trips } = machine();
    await deliver(driver, 'one', pack('/a'), never);
    await deliver(driver, 'one', pack('/b'), never);
    expect(trips).toEqual([['/a'], ['/b']]);
  });

  test('do not fail for what another one carries: each gets its own answer', async () => {
    const { driver, trips } = machine('/bad');
    const answers = await Promise.allSettled(
      ['/a', '/bad', '/c'].map((path) => deliver(driver, 'one', pack(path), never)),
    );
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(answers[1]).toMatchObject({ reason: { message: '/bad is refused' } });
    expect(trips).toEqual([['/a', '/bad', '/c'], ['/a'], ['/bad'], ['/c']]);
  });

  test('wait for one that asked with them and is still being packed', async () => {
    const { driver, trips } = machine();
    const slow = Promise.withResolvers<void>();
    const last = deliver(driver, 'one', () => slow.promise.then(pack('/slow')), never);
    const first = deliver(driver, 'one', pack('/a'), never);
    setTimeout(slow.resolve, 50);
    await Promise.all([first, last]);
    expect(trips).toEqual([['/slow', '/a']]);
  });

  test('go without one that could not be packed', async () => {
    const { driver, trips } = machine();
    const nothing = () => Promise.reject(new BottleError('SKILL_NOT_FOUND', 'there is none'));
    const answers = await Promise.allSettled([
      deliver(driver, 'one', nothing, never),
      deliver(driver, 'one', pack('/a'), never),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(trips).toEqual([['/a']]);
  });

  test('stop being waited for at once when they are cancelled', async () => {
    const driver = { putFiles: () => new Promise(() => undefined) } as unknown as MachineDriver;
    const controller = new AbortController();
    const delivery = deliver(driver, 'one', pack('/a'), controller.signal);
    controller.abort(new Error('cancelled'));
    await expect(delivery).rejects.toThrow('cancelled');
  });
});
