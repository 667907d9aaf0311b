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
