import type Dockerode from 'dockerode';
import { describe, expect, test } from 'vitest';
import { compareVersions, engineFacts, forgetEngine, speaks } from '../../../src/host/engine-facts.ts';

/** Answers as Engines do that were asked: each test names which. */
function played(version: object, info: object) {
  const asked = { version: 0, info: 0 };
  const docker = {
    version: async () => {
      asked.version += 1;
      return { Os: 'linux', Arch: 'amd64', ...version };
    },
    info: async () => {
      asked.info += 1;
      return info;
    },
  } as unknown as Dockerode;
  return { docker, asked };
}

const components = (Name: string) => ({ Components: [{ Name, Version: 'any' }] });

describe('what an Engine is', () => {
  test('is Docker Engine, with root', async () => {
    const { docker } = played(
      { Version: '20.10.24+dfsg1', ApiVersion: '1.41', ...components('Engine') },
      {
        CgroupVersion: '1',
        SecurityOptions: ['name=seccomp,profile=default'],
        NCPU: 4,
        MemTotal: 2 ** 33,
        KernelVersion: 'of another computer',
        DockerRootDir: '/var/lib/docker',
      },
    );
    expect(await engineFacts(docker)).toEqual({
      product: 'Docker Engine',
      version: '20.10.24+dfsg1',
      apiVersion: '1.41',
      platform: 'linux/amd64',
      rootless: false,
      cgroupVersion: 1,
      limits: { memory: true, pids: true, cpus: true },
      size: { cores: 4, memoryMiB: 8192, isHere: false, root: '/var/lib/docker' },
    });
  });

  test('is Docker Engine without root', async () => {
    const { docker } = played(
      { Version: '28.5.2', ApiVersion: '1.51', ...components('Engine') },
      { CgroupVersion: '2', SecurityOptions: ['name=seccomp,profile=builtin', 'name=rootless', 'name=cgroupns'] },
    );
    expect(await engineFacts(docker)).toMatchObject({ product: 'Docker Engine', rootless: true, cgroupVersion: 2 });
  });

  test('is Podman', async () => {
    const { docker } = played(
      { Version: '5.4.2', ApiVersion: '1.41', ...components('Podman Engine') },
      { SecurityOptions: null },
    );
    expect(await engineFacts(docker)).toMatchObject({ product: 'Podman', version: '5.4.2', rootless: false });
  });

  test('is asked once, until it is forgotten; a question that failed is asked again', async () => {
    const { docker, asked } = played({ Version: '1', ApiVersion: '1.41' }, {});
    await Promise.all([engineFacts(docker), engineFacts(docker)]);
    await engineFacts(docker);
    expect(asked).toEqual({ version: 1, info: 1 });
    forgetEngine(docker);
    await engineFacts(docker);
    expect(asked).toEqual({ version: 2, info: 2 });

    let answers = false;
    const late = {
      version: async () => {
        if (!answers) throw new Error('not yet');
        return { Version: '1', ApiVersion: '1.41' };
      },
      info: async () => ({}),
    } as unknown as Dockerode;
    await expect(engineFacts(late)).rejects.toThrow('not yet');
    answers = true;
    expect(await engineFacts(late)).toMatchObject({ version: '1' });
  });
});

test('versions of the API are compared as numbers', () => {
  expect(compareVersions('1.9', '1.46')).toBeLessThan(0);
  expect(compareVersions('2.0', '1.46')).toBeGreaterThan(0);
  expect(compareVersions('1.46', '1.46')).toBe(0);
  expect([speaks({ apiVersion: '1.45' }, '1.46'), speaks({ apiVersion: '1.46' }, '1.46')]).toEqual([false, true]);
});
