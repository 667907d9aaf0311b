/** The smolvm driver on the stand-in, whose guests are containers. On the real program: smolvm.test.ts. */
import { existsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import { bootProcesses } from '../../src/host/machine/smolvm/processes.ts';
import { testMachineDriver } from '../contract/machine-driver.testsuite.ts';
import { injectionFile } from '../fixtures/smolvm/injection.ts';
import { sh } from '../support/docker-site.ts';
import { standIn, standInTrouble } from '../support/smolvm.ts';
import { type SmolvmMachines, smolvmMachines } from '../support/smolvm-machines.ts';

const trouble = standInTrouble();
testMachineDriver(
  'smolvm (stand-in)',
  () => smolvmMachines({ path: standIn }),
  trouble === undefined ? {} : { noneBoots: `the stand-in ${trouble}` },
);

describe.skipIf(trouble !== undefined)('the stand-in', () => {
  let machines: SmolvmMachines;
  beforeAll(async () => {
    machines = await smolvmMachines({ path: standIn });
  });
  afterAll(() => machines.dispose());

  test('a command that goes down with its machine fails with MACHINE_NOT_RUNNING, not with an exit code', async () => {
    const { bottle, spec } = await machines.prepare();
    await machines.driver.create(bottle, spec);
    await machines.driver.start(bottle);
    const ended = sh(machines.driver, bottle.id, 'touch /tmp/begun; sleep 600');
    ended.catch(() => undefined);
    const begun = async (): Promise<number> => (await sh(machines.driver, bottle.id, 'test -e /tmp/begun')).exitCode;
    await expect.poll(begun).toBe(0);
    await machines.crash(bottle.id);
    await expect(ended).rejects.toMatchObject({ code: 'MACHINE_NOT_RUNNING' });
  });

  test('a command that cannot even begin is told with the reason of smolvm', async () => {
    const { bottle, spec } = await machines.prepare();
    await machines.driver.create(bottle, spec);
    await machines.driver.start(bottle);
    const ran = sh(machines.driver, bottle.id, 'true', { user: 'nobody-of-that-name' });
    await expect(ran).rejects.toMatchObject({
      code: 'DRIVER_FAILED',
      message: expect.stringContaining("user 'nobody-of-that-name' not found"),
    });
    expect(await sh(machines.driver, bottle.id, 'echo \'{"error":{"code":"X","message":"m"}}\' >&2; exit 1')).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: '{"error":{"code":"X","message":"m"}}\n',
    });
  });

  test('a start that fails where one has worked before may be tried again by itself', async () => {
    const { bottle, spec } = await machines.prepare();
    await machines.driver.create(bottle, spec);
    await machines.driver.start(bottle);
    await machines.driver.stop(bottle.id);
    writeFileSync(injectionFile(machines.smolvm.state), 'start:exit');
    const failed = machines.driver.start(bottle);
    await expect(failed).rejects.toMatchObject({ code: 'MACHINE_START_FAILED', retryable: existsSync('/dev/kvm') });
    expect(await bootProcesses(machines.smolvm.state, machineName(bottle.id))).toEqual([]);
    writeFileSync(injectionFile(machines.smolvm.state), '');
    await machines.driver.start(bottle);
    expect(await machines.driver.status(bottle.id)).toBe('running');
  });

  test('a delete that smolvm refuses is told with its reason, and done at the next try', async () => {
    const { bottle, spec } = await machines.prepare();
    await machines.driver.create(bottle, spec);
    writeFileSync(injectionFile(machines.smolvm.state), 'delete:error');
    await expect(machines.driver.delete(bottle.id)).rejects.toMatchObject({
      code: 'DRIVER_FAILED',
      message: expect.stringMatching(/could not delete the machine .* on purpose/),
    });
    writeFileSync(injectionFile(machines.smolvm.state), '');
    await machines.driver.delete(bottle.id);
    expect(await machines.remains(bottle.id)).toEqual([]);
  });
});
