/** An Engine's containers and networks, played: as many calls of it as finding and removing what is labelled takes. */
import type Dockerode from 'dockerode';
import { bundleName, LABEL, machineName, networkName } from '../../src/core/names.ts';
import type { Maker } from '../../src/core/step-io.ts';

type Labels = Record<string, string>;

export interface PlayedObjects {
  docker: Dockerode;
  /** Makes the three objects of a bottle. */
  make(id: string, maker: Maker): void;
  names(): string[];
}

export function playedObjects(): PlayedObjects {
  const containers = new Map<string, Labels>();
  const networks = new Map<string, Labels>();
  const matching = (all: ReadonlyMap<string, Labels>, filters: { label: string[] }) =>
    [...all].filter(([, labels]) =>
      filters.label.every((each) => {
        const [label = '', value] = each.split('=');
        return value === undefined ? label in labels : labels[label] === value;
      }),
    );
  const missing = (): never => {
    throw Object.assign(new Error('no such object'), { statusCode: 404 });
  };
  const removable = (all: Map<string, Labels>, name: string) => ({
    inspect: async () => {
      const labels = all.get(name) ?? missing();
      return { Id: name, Config: { Labels: labels }, State: { Running: false } };
    },
    remove: async () => void (all.delete(name) || missing()),
    // Of a bundle that is removed, what it said is read.
    modem: { dial: (_request: unknown, done: (error: unknown) => void) => done(new Error('no log')) },
  });
  const docker = {
    listContainers: async ({ filters }: { filters: { label: string[] } }) =>
      matching(containers, filters).map(([name, Labels]) => ({
        Id: name,
        Names: [`/${name}`],
        Labels,
        State: 'exited',
      })),
    listNetworks: async ({ filters }: { filters: { label: string[] } }) =>
      matching(networks, filters).map(([Name, Labels]) => ({ Id: Name, Name, Labels })),
    getContainer: (name: string) => removable(containers, name),
    getNetwork: (name: string) => removable(networks, name),
  };
  return {
    docker: docker as unknown as Dockerode,
    make: (id, { owner, run }) => {
      const labels = (step: string): Labels => ({
        [LABEL.bottle]: id,
        [LABEL.owner]: owner,
        [LABEL.run]: run,
        [LABEL.step]: step,
      });
      networks.set(networkName(id), labels('network'));
      containers.set(bundleName(id), labels('bundle'));
      containers.set(machineName(id), labels('machine.create'));
    },
    names: () => [...containers.keys(), ...networks.keys()].sort(),
  };
}
