/** A socket in front of the real Engine, which can be shut as if the Engine had gone away. */
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream';
import type Dockerode from 'dockerode';

export interface EngineDoor {
  /** For DOCKER_HOST. */
  readonly address: string;
  /** Nobody gets to the Engine any more, and whoever was there is cut off. */
  shut(): Promise<void>;
  open(): Promise<void>;
  dispose(): Promise<void>;
}

export async function engineDoor(docker: Dockerode): Promise<EngineDoor> {
  const { socketPath } = docker.modem as { socketPath?: string };
  if (socketPath === undefined) throw new Error('the Engine of this computer has no socket');
  const directory = mkdtempSync(path.join(os.tmpdir(), 'door-'));
  const file = path.join(directory, 'docker.sock');
  const through = new Set<net.Socket>();
  let server: net.Server | undefined;
  const door: EngineDoor = {
    address: `unix://${file}`,
    open: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      server = net.createServer({ allowHalfOpen: true }, (socket) => {
        const onward = net.connect({ path: socketPath, allowHalfOpen: true });
        for (const each of [socket, onward]) {
          through.add(each);
          each.once('close', () => through.delete(each));
        }
        pipeline(socket, onward, socket, () => undefined);
      });
      server.listen(file, resolve);
      await promise;
    },
    shut: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      if (server === undefined) return;
      server.close(() => resolve());
      for (const each of through) each.destroy();
      await promise;
      server = undefined;
    },
    dispose: async () => {
      await door.shut();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  await door.open();
  return door;
}
