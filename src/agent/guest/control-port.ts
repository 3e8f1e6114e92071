import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import { isErrno, messageOf } from '../../base/errno.js';
import type { Logger } from '../../base/logger.js';

const PORTS = '/sys/class/virtio-ports';
/**
 * Such a port cannot be waited for: Node.js takes it for no kind of stream that it knows, and a read that blocks would
 * hold a thread of the process and its end. One read that finds nothing costs some microseconds.
 */
const POLL_MS = 100;
/** Until the port is there: a driver may be loaded late. */
const MISSING_POLL_MS = 1000;
const BUFFER_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/** What {@link ControlPort} needs. */
export interface ControlPortOptions {
  /** Name of a virtio-serial port, or the path of a device when it begins with `/`. */
  readonly port: string;
  readonly onMessage: (message: unknown) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The wire between the host and the agent of its guest: one JSON object a line. Nothing of the guest's network is
 * needed for it, and it works at once after memory was restored. Each time the host connects it is told `ready`.
 */
export class ControlPort {
  private readonly buffer = Buffer.alloc(BUFFER_BYTES);
  private rest: Buffer = Buffer.alloc(0);
  private fd: number | undefined;
  private timer: Disposable | undefined;
  private connected = false;
  private warned = false;

  constructor(private readonly options: ControlPortOptions) {
    this.poll();
  }

  /** Tells the host something; it is dropped when nobody is there to hear it. */
  send(message: object): void {
    if (this.fd === undefined) return;
    try {
      writeSync(this.fd, `${JSON.stringify(message)}\n`);
    } catch (err) {
      if (!isErrno(err, 'EAGAIN', 'EPIPE')) this.lose(err);
    }
  }

  close(): void {
    this.timer?.[Symbol.dispose]();
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  private poll(): void {
    this.fd ??= this.open();
    if (this.fd !== undefined) this.readAll(this.fd);
    const waitMs = this.fd === undefined ? MISSING_POLL_MS : POLL_MS;
    this.timer = this.options.clock.after(waitMs, () => this.poll());
  }

  private open(): number | undefined {
    const { port, log } = this.options;
    try {
      const { O_RDWR, O_NONBLOCK, O_NOCTTY } = constants;
      return openSync(portPath(port), O_RDWR | O_NONBLOCK | O_NOCTTY);
    } catch (err) {
      if (!this.warned) log.warn('the control port cannot be opened', { port, cause: messageOf(err) });
      this.warned = true;
      return undefined;
    }
  }

  private readAll(fd: number): void {
    try {
      for (;;) {
        const count = readSync(fd, this.buffer);
        // Nobody is at the other end.
        if (count === 0) {
          this.connected = false;
          this.rest = Buffer.alloc(0);
          return;
        }
        this.greet();
        this.take(this.buffer.subarray(0, count));
      }
    } catch (err) {
      if (isErrno(err, 'EAGAIN')) this.greet();
      else this.lose(err);
    }
  }

  private greet(): void {
    if (this.connected) return;
    this.connected = true;
    this.send({ type: 'ready' });
  }

  private take(data: Buffer): void {
    this.rest = Buffer.concat([this.rest, data]);
    for (let at = this.rest.indexOf(NEWLINE); at >= 0; at = this.rest.indexOf(NEWLINE)) {
      const line = this.rest.toString('utf8', 0, at);
      this.rest = this.rest.subarray(at + 1);
      this.receive(line);
    }
    if (this.rest.length > MAX_LINE_BYTES) this.rest = Buffer.alloc(0);
  }

  private receive(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.options.log.warn('the control port brought what is not JSON', { bytes: line.length });
      return;
    }
    this.options.onMessage(message);
  }

  private lose(err: unknown): void {
    this.options.log.warn('the control port failed', { cause: messageOf(err) });
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
    this.connected = false;
  }
}

/** The numbers of the devices depend on the order of the machine's parts; only the names are sure. */
function portPath(port: string): string {
  if (port.startsWith('/')) return port;
  const found = readdirSync(PORTS).find((device) => nameOf(device) === port);
  if (found === undefined) throw new Error(`there is no virtio-serial port ${port}`);
  return join('/dev', found);
}

function nameOf(device: string): string {
  try {
    return readFileSync(join(PORTS, device, 'name'), 'utf8').trim();
  } catch {
    return '';
  }
}
