/** A socket in front of the Engine's own that can be broken, as an Engine can: it refuses, hangs, or cuts everything off. */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import net from 'node:net';

export class DockerRelay {
  readonly #path: string;
  readonly #upstream: string;
  readonly #sockets = new Set<net.Socket>();
  #server: net.Server | undefined;
  #hangs = false;

  /**
   * @param path where it listens
   * @param upstream the Engine's own socket
   */
  constructor(path: string, upstream: string) {
    this.#path = path;
    this.#upstream = upstream;
  }

  /** How many are connected, on either side. */
  get connections(): number {
    return this.#sockets.size;
  }

  async open(): Promise<void> {
    this.#hangs = false;
    if (this.#server !== undefined) return;
    const server = net.createServer({ allowHalfOpen: true }, (client) => this.#carry(client));
    this.#server = server;
    rmSync(this.#path, { force: true });
    server.listen(this.#path);
    await once(server, 'listening');
  }

  /** Whoever is connected is cut off; the next ones get through. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** As an Engine that is not there: connections are refused, and those there are end. Until {@link open}. */
  refuse(): void {
    this.#server?.close();
    this.#server = undefined;
    this.cut();
    rmSync(this.#path, { force: true });
  }

  /** As an Engine that stands still: who connects hears nothing, and what runs goes on. {@link open} cuts those off. */
  hang(): void {
    this.#hangs = true;
  }

  close(): void {
    this.refuse();
  }

  #carry(client: net.Socket): void {
    this.#keep(client);
    if (this.#hangs) return;
    const engine = net.connect({ path: this.#upstream, allowHalfOpen: true });
    this.#keep(engine);
    client.pipe(engine).pipe(client);
    // What one side loses, the other loses too.
    client.once('close', () => engine.destroy());
    engine.once('close', () => client.destroy());
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
