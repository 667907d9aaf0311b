/** A container's specification in the form that one Engine takes. */
import type Dockerode from 'dockerode';
import { type EngineFacts, speaks } from './engine-facts.ts';

/** Engines since 27 have it; since 28 they refuse any other way. */
const ENDPOINT_SYSCTLS = { api: '1.46', option: 'com.docker.network.endpoint.sysctls' };
const OF_FIRST_INTERFACE = /^(net\.[^.]+\.[^.]+\.)eth0(\..+)$/;

/**
 * Specifications are written as the oldest Engine takes them, since containers are known by a hash of theirs: an Engine that
 * was upgraded must find the machine again that it had.
 */
export function asEngineTakes(
  facts: Pick<EngineFacts, 'apiVersion' | 'limits'>,
  spec: Dockerode.ContainerCreateOptions,
): Dockerode.ContainerCreateOptions {
  return interfaceSettings(facts, processors(facts, withoutEntrypoint(spec)));
}

/** A command is all that is to run: an image of a person's own may have an entry point, which would take it for its arguments. */
function withoutEntrypoint(spec: Dockerode.ContainerCreateOptions): Dockerode.ContainerCreateOptions {
  return spec.Cmd === undefined || spec.Entrypoint !== undefined ? spec : { ...spec, Entrypoint: [''] };
}

/**
 * A rootless Engine is given memory and processes to limit by systemd, and no processors unless somebody has asked for
 * that; it then refuses the whole container. `bottle doctor` tells.
 */
function processors(
  { limits }: Pick<EngineFacts, 'limits'>,
  spec: Dockerode.ContainerCreateOptions,
): Dockerode.ContainerCreateOptions {
  if (limits.cpus || spec.HostConfig?.NanoCpus === undefined) return spec;
  const { NanoCpus: _none, ...HostConfig } = spec.HostConfig;
  return { ...spec, HostConfig };
}

function interfaceSettings(
  facts: Pick<EngineFacts, 'apiVersion'>,
  spec: Dockerode.ContainerCreateOptions,
): Dockerode.ContainerCreateOptions {
  const network = spec.HostConfig?.NetworkMode;
  const endpoint = spec.NetworkingConfig?.EndpointsConfig?.[network ?? ''];
  const sysctls = Object.entries(spec.HostConfig?.Sysctls ?? {});
  const ofInterface = sysctls.filter(([name]) => OF_FIRST_INTERFACE.test(name));
  if (ofInterface.length === 0 || network === undefined || endpoint === undefined) return spec;
  if (!speaks(facts, ENDPOINT_SYSCTLS.api)) return spec;
  const others = sysctls.filter(([name]) => !OF_FIRST_INTERFACE.test(name));
  const settings = ofInterface.map(([name, value]) => `${name.replace(OF_FIRST_INTERFACE, '$1IFNAME$2')}=${value}`);
  return {
    ...spec,
    HostConfig: { ...spec.HostConfig, Sysctls: Object.fromEntries(others) },
    NetworkingConfig: {
      EndpointsConfig: {
        ...spec.NetworkingConfig?.EndpointsConfig,
        [network]: {
          ...endpoint,
          DriverOpts: { ...endpoint.DriverOpts, [ENDPOINT_SYSCTLS.option]: settings.join(',') },
        },
      },
    },
  };
}
