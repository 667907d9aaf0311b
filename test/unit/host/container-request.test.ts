import { expect, test } from 'vitest';
import { asEngineTakes } from '../../../src/host/container-request.ts';

const limits = { memory: true, pids: true, cpus: true };
const spec = {
  Image: 'guest',
  HostConfig: {
    NetworkMode: 'bottle-a',
    Sysctls: {
      'net.ipv4.neigh.eth0.retrans_time_ms': '15',
      'net.ipv4.neigh.eth0.mcast_solicit': '3',
      'net.ipv4.ip_forward': '0',
    },
  },
  NetworkingConfig: { EndpointsConfig: { 'bottle-a': { IPAMConfig: { IPv4Address: '10.0.0.3' } } } },
};

test('an Engine before 27 takes what is set on an interface with the rest', () => {
  expect(asEngineTakes({ apiVersion: '1.45', limits }, spec)).toEqual(spec);
});

test.each(['1.46', '1.48', '1.51', '1.99'])(
  'an Engine with API %s takes it as an option of the endpoint',
  (apiVersion) => {
    const asked = asEngineTakes({ apiVersion, limits }, spec);
    expect(asked.HostConfig).toEqual({ NetworkMode: 'bottle-a', Sysctls: { 'net.ipv4.ip_forward': '0' } });
    expect(asked.NetworkingConfig).toEqual({
      EndpointsConfig: {
        'bottle-a': {
          IPAMConfig: { IPv4Address: '10.0.0.3' },
          DriverOpts: {
            'com.docker.network.endpoint.sysctls':
              'net.ipv4.neigh.IFNAME.retrans_time_ms=15,net.ipv4.neigh.IFNAME.mcast_solicit=3',
          },
        },
      },
    });
  },
);

test('what sets nothing on an interface stays as it is', () => {
  const plain = { Image: 'bundle', HostConfig: { NetworkMode: 'bottle-a', Sysctls: { 'net.ipv4.ip_forward': '0' } } };
  expect(asEngineTakes({ apiVersion: '1.51', limits }, plain)).toEqual(plain);
});

test('an Engine that cannot limit processors, and would refuse the whole container, is not asked to', () => {
  const bounded = { Image: 'guest', HostConfig: { NanoCpus: 2e9, Memory: 2 ** 30 } };
  const facts = { apiVersion: '1.51', limits: { ...limits, cpus: false } };
  expect(asEngineTakes(facts, bounded)).toEqual({ Image: 'guest', HostConfig: { Memory: 2 ** 30 } });
  expect(asEngineTakes({ ...facts, limits }, bounded)).toEqual(bounded);
});

test("a command is run as it is, whatever the entry point of its image; who names none runs the image's own", () => {
  const facts = { apiVersion: '1.41', limits };
  const commanded = { Image: 'mine', Cmd: ['sleep', '1'] };
  expect(asEngineTakes(facts, commanded)).toEqual({ ...commanded, Entrypoint: [''] });
  expect(asEngineTakes(facts, { Image: 'bundle' })).toEqual({ Image: 'bundle' });
});
