import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { machineName } from '../../src/core/names.ts';
import { inspectContainer } from '../../src/host/container.ts';
import { dockerDriver } from '../../src/host/machine/docker.ts';
import { testMachineDriver } from '../contract/machine-driver.testsuite.ts';
import { dockerSite } from '../support/docker-site.ts';

testMachineDriver('docker', async () => {
  const site = await dockerSite();
  return {
    driver: site.driver,
    strangersDriver: dockerDriver({ docker: site.docker, owner: `${site.owner}-stranger` }),
    prepare: async (id) => {
      const bottle = { ...site.bottle('machine'), ...(id === undefined ? {} : { id }) };
      return { bottle, spec: site.machineSpec(await site.network(bottle)) };
    },
    crash: async (id) => {
      const container = site.docker.getContainer(machineName(id));
      await container.kill();
      await container.wait();
    },
    identity: async (id) => (await inspectContainer(site, machineName(id)))?.Id,
    dispose: site.dispose,
  };
});

test('a machine that somebody has paused is called so, with the way on', async () => {
  const site = await dockerSite();
  try {
    const bottle = site.bottle('paused');
    await site.driver.create(bottle, site.machineSpec(await site.network(bottle)));
    await site.driver.start(bottle);
    const name = machineName(bottle.id);
    const container = site.docker.getContainer(name);
    await container.pause();
    const nowhere = new PassThrough();
    const run = () => site.driver.exec(bottle.id, { argv: ['true'], stdout: nowhere, stderr: nowhere });
    await expect(run()).rejects.toMatchObject({
      code: 'MACHINE_NOT_RUNNING',
      message: `the machine ${name} is paused`,
      hint: `docker unpause ${name}, then retry`,
    });
    await container.unpause();
    expect(await run()).toEqual({ exitCode: 0 });
  } finally {
    await site.dispose();
  }
});
