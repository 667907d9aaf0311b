import Dockerode from 'dockerode';
import { afterEach, describe, expect, test } from 'vitest';
import type { EngineFacts } from '../../../src/host/engine-facts.ts';
import { assertSupported, engineName, unsupported, wasTried } from '../../../src/host/engine-support.ts';
import { type EngineSocket, playedEngine } from '../../support/recording-engine.ts';

let engine: EngineSocket | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

const limits = { memory: true, pids: true, cpus: true };
const facts = (change: Partial<EngineFacts>): EngineFacts => ({
  product: 'Docker Engine',
  version: '28.5.2',
  apiVersion: '1.51',
  platform: 'linux/amd64',
  rootless: false,
  cgroupVersion: 2,
  limits,
  size: { cores: 2, memoryMiB: 4096, isHere: true, root: '/var/lib/docker' },
  ...change,
});

describe('an Engine that a bottle can run on', () => {
  test.each([
    ['20.10.24+dfsg1', true],
    ['26.1.5+dfsg1', true],
    ['28.0.0', true],
    ['2.8', false],
    ['27.3.1', false],
    ['29.1.0', false],
  ])('%s: tried %s, and nothing is known against it', (version, tried) => {
    expect([wasTried(facts({ version })), unsupported(facts({ version }))]).toEqual([tried, undefined]);
  });

  test('is one without root too, where it holds the limits; it was never tried so', () => {
    const rootless = facts({ rootless: true, limits: { ...limits, cpus: false } });
    expect(unsupported(rootless)).toBeUndefined();
    expect(wasTried(rootless)).toBe(false);
    expect(engineName(rootless)).toBe('Docker Engine 28.5.2 (rootless)');
  });
});

describe('an Engine that is refused', () => {
  test.each(['4.3.1', '5.4.2', '5.8.0'])('is Podman %s, which leaves its bridges an address of the host', (version) => {
    const podman = facts({ product: 'Podman', version, apiVersion: '1.41' });
    expect(unsupported(podman)).toMatchObject({ why: expect.stringContaining('would reach the host') });
    expect(wasTried(podman)).toBe(false);
  });

  test.each([
    ['memory and processes', { memory: false, pids: false }, true, 'cgroup v2'],
    ['memory', { memory: false, pids: true }, false, 'cgroup_enable=memory'],
    ['processes', { memory: true, pids: false }, true, 'delegated'],
  ])('is one that cannot limit %s', (what, lacks, rootless, hint) => {
    expect(unsupported(facts({ rootless, limits: { ...limits, ...lacks } }))).toEqual({
      why: expect.stringContaining(`cannot limit the ${what} of a machine`),
      hint: expect.stringContaining(hint),
    });
  });

  test('is named with its version, why, and what to do, and not tried again', async () => {
    engine = await playedEngine(({ url = '' }, response) => {
      const version = {
        Version: '5.4.2',
        ApiVersion: '1.41',
        Components: [{ Name: 'Podman Engine', Version: '5.4.2' }],
      };
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(url.endsWith('/version') ? version : {}));
    });
    await expect(assertSupported(new Dockerode({ socketPath: engine.socketPath }))).rejects.toMatchObject({
      code: 'ENGINE_UNSUPPORTED',
      retryable: false,
      message: expect.stringMatching(/^no bottle can run on Podman 5\.4\.2: /),
      hint: expect.stringContaining('use a Docker Engine'),
    });
  });
});
