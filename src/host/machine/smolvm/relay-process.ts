/**
 * The process that carries a machine's connections to its bundle: `relay-process DIRECTORY CONTAINER ADDRESS`. It listens on a
 * socket for each port in the directory, which smolvm mounts into the machine, and lives as long as the machine does; see
 * relay.ts, which starts and ends it.
 */
import { existsSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream';
import { BUNDLE_PORTS } from '../../../core/machine-link.ts';
import { connectDocker } from '../../docker.ts';
import { bundleConnections } from './bundle-session.ts';

const LOOK_MS = 5000;

const [directory = '', container = '', address = ''] = process.argv.slice(2);
const connections = bundleConnections(connectDocker(), container, address);

for (const port of BUNDLE_PORTS) {
  net
    .createServer({ allowHalfOpen: true }, (socket) => {
      // A bundle that is on its way back is dialled again by who wants it.
      carry(socket, port).catch(() => socket.destroy());
    })
    .listen(path.join(directory, String(port)));
}

/** Its directory is removed with the machine: whoever did that without ending this process needs it no more. */
setInterval(() => {
  if (!existsSync(directory)) process.exit(0);
}, LOOK_MS);

async function carry(socket: net.Socket, port: number): Promise<void> {
  socket.on('error', () => undefined);
  const other = await connections.open(port);
  pipeline(socket, other, socket, () => undefined);
}
