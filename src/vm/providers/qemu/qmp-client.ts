import { connect, type Socket } from 'node:net';
import { untilAborted } from '../../../base/abort.js';
import { type Deferred, deferred } from '../../../base/deferred.js';
import { messageOf } from '../../../base/errno.js';
import { JsonSocket } from '../../../base/json-socket.js';
import { shortPath } from '../../../base/short-path.js';
import { HubError } from '../../../model/hub-error.js';

/** What QEMU tells by itself, such as `BLOCK_IO_ERROR`. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Time for a connection and its greeting. QEMU serves one client at a time: another one gets no greeting. */
const GREETING_MS = 5_000;
/** Time for one command. Jobs have commands of their own to be watched with. */
const COMMAND_MS = 15_000;

/** An answer of QEMU that it could not do a command. */
export class QmpRefusal extends Error {
  override readonly name = 'QmpRefusal';

  constructor(
    readonly command: string,
    readonly description: string,
  ) {
    super(`QEMU refused ${command}: ${description}`);
  }
}

/** Options of {@link connectQmp}. */
export interface QmpOptions {
  /** Milliseconds until QEMU must have greeted. Default 5000. */
  readonly greetingMs?: number;
  /** Milliseconds for each command. Default 15000. */
  readonly commandMs?: number;
}

/**
 * Connects to the monitor of a QEMU and leaves its negotiation mode.
 *
 * @throws HubError VM_FAILED when nobody listens, or QEMU does not greet in time: it hangs, or has another client.
 */
export async function connectQmp(
  path: string,
  signal: AbortSignal,
  options: QmpOptions = {},
): Promise<QmpClient> {
  using short = shortPath(path);
  const socket = connect(short.path);
  const client = new QmpClient(socket, options.commandMs ?? COMMAND_MS);
  try {
    await client.greeted(AbortSignal.any([signal, AbortSignal.timeout(options.greetingMs ?? GREETING_MS)]));
    await client.execute('qmp_capabilities', {}, signal);
    return client;
  } catch (err) {
    client.close();
    signal.throwIfAborted();
    throw err instanceof HubError ? err : notReached(path, err);
  }
}

/** One connection to the monitor of a QEMU; commands go one after the other. Close it: there is one at a time. */
export class QmpClient implements Disposable {
  private readonly json: JsonSocket;
  private readonly greeting = deferred();
  private readonly listeners = new Set<(event: QmpEvent) => void>();
  private readonly waiting = new Map<number, Deferred<unknown>>();
  private readonly gone = deferred<never>();
  private lastId = 0;

  /** @internal Use {@link connectQmp}. */
  constructor(
    socket: Socket,
    private readonly commandMs: number,
  ) {
    socket.once('error', (err) => this.fail(err));
    this.json = new JsonSocket(socket, (message) => this.take(message));
    this.gone.promise.catch(() => {});
    this.greeting.promise.catch(() => {});
    void this.json.closed.then(() => this.fail(new Error('QEMU closed its monitor')));
  }

  /** @internal Resolves with the greeting. */
  greeted(signal: AbortSignal): Promise<void> {
    return untilAborted(Promise.race([this.greeting.promise, this.gone.promise]), signal);
  }

  /**
   * Runs a command and answers what it returns.
   *
   * @throws QmpRefusal when QEMU says no; HubError VM_FAILED when it does not answer in time; Error when it is gone.
   */
  async execute(
    command: string,
    args: Readonly<Record<string, unknown>>,
    signal: AbortSignal,
  ): Promise<unknown> {
    this.lastId += 1;
    const id = this.lastId;
    const answer = deferred<unknown>();
    this.waiting.set(id, answer);
    this.json.send({ execute: command, arguments: args, id });
    const late = AbortSignal.timeout(this.commandMs);
    try {
      const reply = Promise.race([answer.promise, this.gone.promise]);
      return await untilAborted(reply, AbortSignal.any([signal, late]));
    } catch (err) {
      signal.throwIfAborted();
      if (late.aborted) throw new HubError('VM_FAILED', `QEMU did not answer ${command} in time; it hangs`);
      if (err instanceof QmpRefusal) throw new QmpRefusal(command, err.description);
      throw err;
    } finally {
      this.waiting.delete(id);
    }
  }

  /** Calls `listener` with each event until it is disposed. */
  onEvent(listener: (event: QmpEvent) => void): Disposable {
    this.listeners.add(listener);
    return { [Symbol.dispose]: () => void this.listeners.delete(listener) };
  }

  close(): void {
    this.json.close();
    this.fail(new Error('the connection to QEMU was closed'));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private take(message: unknown): void {
    if (typeof message !== 'object' || message === null) {
      this.close();
      return;
    }
    const { id } = message as { id?: unknown };
    const answer = typeof id === 'number' ? this.waiting.get(id) : undefined;
    if ('QMP' in message) this.greeting.resolve();
    else if ('event' in message) this.takeEvent(message as { event: unknown; data?: unknown });
    else if ('return' in message) answer?.resolve(message.return);
    else if ('error' in message) answer?.reject(new QmpRefusal('', descriptionOf(message.error)));
  }

  private takeEvent({ event, data }: { readonly event: unknown; readonly data?: unknown }): void {
    if (typeof event !== 'string') return;
    for (const listener of this.listeners) listener({ event, data: (data ?? {}) as QmpEvent['data'] });
  }

  private fail(err: Error): void {
    this.gone.reject(err);
  }
}

function descriptionOf(error: unknown): string {
  const text = (error as { desc?: unknown } | null)?.desc;
  return typeof text === 'string' ? text.slice(0, 1000) : 'it did not say why';
}

function notReached(path: string, err: unknown): HubError {
  const late = err instanceof Error && err.name === 'TimeoutError';
  const why = late ? 'QEMU does not greet: it hangs, or another program is connected to it' : messageOf(err);
  const message = `the monitor of the machine cannot be used: ${why}; "vm-agent stop --force" ends the machine`;
  return new HubError('VM_FAILED', message, { metadata: { path }, cause: err });
}
