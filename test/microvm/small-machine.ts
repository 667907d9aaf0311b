/** An image of a machine that has what cases of machines run, and no more: each machine unpacks its own, on an emulated processor. */
import type Dockerode from 'dockerode';
import { execa } from 'execa';
import { followLog } from '../../src/host/image-progress.ts';

export const SMALL_MACHINE = 'bottle-test/small-machine:1';

/** Three quarters of its bytes and half of its files, that no case runs. Each must match something. */
const NOT_RUN = [
  ...['usr/bin/git*', 'usr/bin/scalar', 'usr/lib/git-core', 'usr/lib/x86_64-linux-gnu/gconv', 'usr/local/bin/node'],
  ...['usr/lib/x86_64-linux-gnu/perl', 'usr/share/perl', 'usr/share/doc', 'var/lib/dpkg'],
];

/** Makes {@link SMALL_MACHINE} of a machine's image, on the same Engine. */
export async function makeSmallMachine(docker: Dockerode, image: string): Promise<void> {
  const { Config } = await docker.getImage(image).inspect();
  const container = await docker.createContainer({ Image: image });
  try {
    const less = execa('tar', ['--wildcards', '--delete', '-f', '-', ...NOT_RUN], {
      stdin: 'pipe',
      stdout: 'pipe',
      buffer: false,
    });
    (await container.export()).pipe(less.stdin);
    const [repo, tag] = SMALL_MACHINE.split(':');
    const changes = [
      ...(Config.Env ?? []).map((each) => `ENV ${each}`),
      `WORKDIR ${Config.WorkingDir}`,
      `CMD ${JSON.stringify(Config.Cmd)}`,
    ].join('\n');
    await followLog(docker, await docker.importImage(less.stdout, { repo, tag, changes }));
    await less;
  } finally {
    await container.remove({ force: true });
  }
}
