import type { Socket } from 'node:net';
import { deferred } from './deferred.js';

/** Most bytes of one message. */
const MAX_BYTES = 16 * 1024 * 1024;
const NEWLINE = 0x0a;

/**
 * Messages as lines of JSON over a socket. One that cannot be read closes the socket: the other side is not who it
 * should be. What arrives after {@link close} is dropped.
 */
export class JsonSocket {
  private readonly end = deferred();
  private parts: Buffer[] = [];
  private bytes = 0;

  constructor(
    private readonly socket: Socket,
    private readonly onMessage: (message: unknown) => void,
  ) {
    socket.on('data', (data: Buffer) => this.take(data));
    socket.on('error', () => socket.destroy());
    socket.once('end', () => socket.destroy());
    socket.once('close', () => this.end.resolve());
  }

  /** Resolves when it is closed by either side. */
  get closed(): Promise<void> {
    return this.end.promise;
  }

  /** Whether more than a little waits for the other side to read; {@link onDrain} tells when it was read. */
  get isBehind(): boolean {
    return this.socket.writableNeedDrain;
  }

  /** Calls `listener` each time the other side has read what waited. */
  onDrain(listener: () => void): void {
    this.socket.on('drain', listener);
  }

  send(message: object): void {
    if (!this.socket.destroyed) this.socket.write(`${JSON.stringify(message)}\n`);
  }

  close(): void {
    this.socket.destroy();
  }

  private take(data: Buffer): void {
    let rest = data;
    for (let at = rest.indexOf(NEWLINE); at >= 0 && !this.socket.destroyed; at = rest.indexOf(NEWLINE)) {
      const line = Buffer.concat([...this.parts, rest.subarray(0, at)]).toString('utf8');
      this.parts = [];
      this.bytes = 0;
      rest = rest.subarray(at + 1);
      this.read(line);
    }
    if (rest.length > 0) this.parts.push(rest);
    this.bytes += rest.length;
    if (this.bytes > MAX_BYTES) this.close();
  }

  private read(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.close();
      return;
    }
    this.onMessage(message);
  }
}
