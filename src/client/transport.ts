import type { MethodDefinition } from '@grpc/grpc-js';
import { onAbort, untilAborted } from '../base/abort.js';
import { callError } from './call-error.js';
import { Connection, type ConnectionOptions } from './connection.js';

/** Options of a {@link Transport}. */
export interface TransportOptions extends ConnectionOptions {
  /** Ends every call when aborted. */
  readonly signal?: AbortSignal;
}

/** Options of one call. */
export interface CallOptions {
  /** Ends the call; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Time limit of a unary call in milliseconds. Default 30000. */
  readonly deadlineMs?: number;
}

const DEFAULT_DEADLINE_MS = 30_000;
const NEVER = new AbortController().signal;

/** Calls over one connection, as promises and async iterables. */
export class Transport {
  private readonly connection: Connection;

  constructor(private readonly options: TransportOptions) {
    this.connection = new Connection(options);
  }

  /** Whether the hub was reached at least once: only then is a failed call worth repeating. */
  get hasConnected(): boolean {
    return this.connection.hasConnected;
  }

  /** Makes one unary call. @throws HubError, or the signal's reason. */
  async unary<Req, Res>(
    method: MethodDefinition<Req, Res>,
    request: Req,
    options: CallOptions = {},
  ): Promise<Res> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connection.connect(signal);
    const { path, requestSerialize, responseDeserialize } = method;
    const settings = { deadline: Date.now() + (options.deadlineMs ?? DEFAULT_DEADLINE_MS) };
    return new Promise<Res>((resolve, reject) => {
      const done = (err: unknown, response: Res | undefined) => {
        watch[Symbol.dispose]();
        if (err) reject(signal.aborted ? signal.reason : callError(err, this.options.address));
        else resolve(response as Res);
      };
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        settings,
        done,
      );
      const watch = onAbort(signal, () => call.cancel());
    });
  }

  /**
   * Makes a server-streaming call when iterated. Reading slowly slows the hub down; leaving the loop cancels the
   * call. @throws HubError, or the signal's reason.
   */
  async *stream<Req, Res>(
    method: MethodDefinition<Req, Res>,
    request: Req,
    options: CallOptions = {},
  ): AsyncGenerator<Res, void, undefined> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connection.connect(signal);
    const { path, requestSerialize, responseDeserialize } = method;
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
    );
    yield* this.responses(call, signal);
  }

  /** Makes a bidirectional call. Requests are read only as fast as the hub takes them. */
  async *duplex<Req, Res>(
    method: MethodDefinition<Req, Res>,
    requests: AsyncIterable<Req>,
    options: CallOptions = {},
  ): AsyncGenerator<Res, void, undefined> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connection.connect(signal);
    const { path, requestSerialize, responseDeserialize } = method;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    const left = new AbortController();
    const broken = new AbortController();
    void send(call, requests, left.signal).catch((err: unknown) => broken.abort(err));
    try {
      yield* this.responses(call, AbortSignal.any([signal, broken.signal]));
    } finally {
      left.abort();
    }
  }

  /** Closes the connection; open calls fail. Idempotent. */
  close(): void {
    this.connection.close();
  }

  private signalOf(options: CallOptions): AbortSignal {
    const signals = [this.options.signal, options.signal].filter((signal) => signal !== undefined);
    const [only = NEVER] = signals;
    const signal = signals.length > 1 ? AbortSignal.any(signals) : only;
    signal.throwIfAborted();
    return signal;
  }

  private async *responses<Res>(
    call: ReadableCall<Res>,
    signal: AbortSignal,
  ): AsyncGenerator<Res, void, undefined> {
    // An error may still come after the reader has left.
    call.on('error', () => {});
    using _watch = onAbort(signal, () => call.cancel());
    try {
      // The plain iterator would destroy the call when the loop is left, which loses its status.
      yield* call.iterator({ destroyOnReturn: false });
    } catch (err) {
      throw signal.aborted ? signal.reason : callError(err, this.options.address);
    } finally {
      call.cancel();
    }
  }
}

interface ReadableCall<Res> {
  on(event: 'error', listener: () => void): unknown;
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Res>;
  cancel(): void;
}

interface WritableCall<Req> {
  write(message: Req): boolean;
  once(event: 'drain', listener: () => void): unknown;
  end(): void;
}

async function send<Req>(
  call: WritableCall<Req>,
  requests: AsyncIterable<Req>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await untilAborted(iterator.next(), signal);
      if (next.done) break;
      if (call.write(next.value)) continue;
      await untilAborted(new Promise<void>((resolve) => call.once('drain', resolve)), signal);
    }
    call.end();
  } catch (err) {
    if (!signal.aborted) throw err;
  } finally {
    // An input that waits, such as a keyboard, answers this late or never.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
