import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { arch } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import { messageOf } from '../../base/errno.js';
import { JsonSocket } from '../../base/json-socket.js';
import type { Logger } from '../../base/logger.js';
import { signalProcess, start } from '../../base/process.js';
import { PORT_SCRIPT } from './port-script.js';

const PORTS = '/sys/class/virtio-ports';
/** Until the port is tried again: a driver may be loaded late, an agent that ends may still hold it. */
const RETRY_MS = 1000;
/** Numbers of the system call settimeofday. */
const SET_TIME: Readonly<Record<string, number>> = { x64: 164, arm64: 170 };

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
 * needed for it, and it works at once after memory was restored; clock and random numbers are put right before the
 * agent hears of that. Each time the host connects it is told `ready`.
 */
export class ControlPort {
  private child: ChildProcess | undefined;
  private timer: Disposable | undefined;
  private troubles = 0;
  private closed = false;

  constructor(private readonly options: ControlPortOptions) {
    this.open();
  }

  /** Tells the host something; it is dropped when nobody is there to hear it. */
  send(message: object): void {
    this.child?.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  close(): void {
    this.closed = true;
    this.timer?.[Symbol.dispose]();
    if (this.child?.pid !== undefined) signalProcess(this.child.pid, 'SIGKILL');
  }

  private open(): void {
    try {
      this.child = this.startScript(portPath(this.options.port));
    } catch (err) {
      this.retry(messageOf(err));
    }
  }

  private startScript(path: string): ChildProcess {
    const args = ['-e', PORT_SCRIPT, path, String(SET_TIME[arch()] ?? 0)];
    const child = start('perl', args, { cwd: '/', env: {}, stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin?.on('error', () => {});
    // A pipe of a child is a socket for Node.js.
    const lines = new JsonSocket(child.stdout as Socket, (message) => this.receive(message));
    // Nonsense closes it. The script would learn that only from its next line, which would be lost.
    void lines.closed.then(() => child.kill('SIGKILL'));
    child.once('error', (err) => this.retry(err.message));
    child.once('exit', (code) => this.retry(`its process ended with ${code}`));
    return child;
  }

  private receive(message: unknown): void {
    const { type } = message as { type?: unknown };
    if (type === 'linked') this.send({ type: 'ready' });
    else this.options.onMessage(message);
  }

  private retry(cause: string): void {
    const { clock, log, port } = this.options;
    if (this.closed) return;
    this.child = undefined;
    this.troubles += 1;
    if (this.troubles === 1) log.warn('the control port is not there', { port, cause });
    this.timer?.[Symbol.dispose]();
    this.timer = clock.after(RETRY_MS, () => this.open());
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
