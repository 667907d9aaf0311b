import { expect, test } from 'vitest';
import { asEngineTakes } from '../../../src/host/container-request.ts';

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
  expect(asEngineTakes({ apiVersion: '1.45' }, spec)).toEqual(spec);
});

test.each(['1.46', '1.48', '1.51', '1.99'])(
  'an Engine with API %s takes it as an option of the endpoint',
  (apiVersion) => {
    const asked = asEngineTakes({ apiVersion }, spec);
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
  expect(asEngineTakes({ apiVersion: '1.51' }, plain)).toEqual(plain);
});
