/** Whether anybody is reached over the uplink, as a bundle would go: from a container of its own, or from the bundle's. */
import { readFile } from 'node:fs/promises';
import { PassThrough, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type Dockerode from 'dockerode';
import type { ProxyPlan } from '../core/network-proxy.ts';
import type { Reached, ReachQuestion } from '../core/reach.ts';
import { removeContainer } from './container.ts';
import { engine } from './docker.ts';
import { createHelper } from './helper-container.ts';
import { withPassword } from './host-proxy-environment.ts';
import { demultiplex } from './machine/demultiplex.ts';

const REACH = ['node', '/opt/bottle/init.js', '--reach'];

export interface WayOut {
  /** Tag of the bundle's image. */
  image: string;
  uplink: string;
  host: string;
  port: number;
  /** PEM file; null for none. */
  ca: string | null;
  proxy?: ProxyPlan | undefined;
  timeoutMs: number;
}

/** @throws BottleError `SECRET_MISSING` for the proxy's password, `DOCKER_ERROR`, `DOCKER_UNREACHABLE` */
export async function tryWayOut(docker: Dockerode, way: WayOut): Promise<Reached> {
  const { image, uplink, host, port, ca, proxy, timeoutMs } = way;
  const question: ReachQuestion = {
    host,
    port,
    ca: ca === null ? null : await readFile(ca, 'utf8'),
    ...(proxy === undefined ? {} : { proxy: await withPassword(proxy) }),
    timeoutMs,
  };
  const container = await engine('try the way out', () =>
    createHelper(docker, 'way-out.try', {
      Image: image,
      Cmd: REACH,
      User: 'nobody',
      OpenStdin: true,
      // It ends with this process, whatever becomes of it, and is gone with its end.
      StdinOnce: true,
      HostConfig: { NetworkMode: uplink, CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'], AutoRemove: true },
    }),
  );
  try {
    const wire = await container.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
    await engine('try the way out', () => container.start());
    return await ask(wire, question);
  } finally {
    // Where it was never started; else it is going, or gone.
    await removeContainer(container);
  }
}

/** As {@link tryWayOut}, from a bundle that runs. @throws BottleError `DOCKER_ERROR`, `DOCKER_UNREACHABLE` */
export async function tryWayOutOf(bundle: Dockerode.Container, question: ReachQuestion): Promise<Reached> {
  const streams = { AttachStdin: true, AttachStdout: true, AttachStderr: true };
  const wire = await engine('try the way out', async () =>
    (await bundle.exec({ Cmd: REACH, User: 'nobody', ...streams })).start({ hijack: true, stdin: true }),
  );
  return ask(wire, question);
}

async function ask(wire: NodeJS.ReadWriteStream, question: ReachQuestion): Promise<Reached> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const said = Promise.all([text(stdout), text(stderr)]);
  wire.write(JSON.stringify(question));
  wire.end();
  await demultiplex(wire as unknown as Readable, stdout, stderr);
  stdout.end();
  stderr.end();
  const [answer, complaint] = await said;
  if (answer !== '') return JSON.parse(answer) as Reached;
  return { reached: false, what: 'connection', why: complaint.trim().split('\n').at(-1) ?? 'nothing was heard' };
}
