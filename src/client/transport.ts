import * as grpcJs from '@grpc/grpc-js';
import { onAbort, untilAborted } from '../base/abort.js';
import type { HubAddress } from './address.js';
import { callError, unreachable } from './call-error.js';

/** Options of a {@link Transport}. */
export interface TransportOptions {
  readonly address: HubAddress;
  /** Sent as `authorization: Bearer`. */
  readonly token?: string;
  /** Ends every call when aborted. */
  readonly signal?: AbortSignal;
  /** How long one attempt to connect may take, in milliseconds. */
  readonly connectTimeoutMs: number;
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

/** One channel to a hub, opened on the first call, and calls over it as promises and async iterables. */
export class Transport {
  private opening: Promise<Connection> | undefined;
  private client: grpcJs.Client | undefined;
  private closed = false;
  private reached = false;

  constructor(readonly options: TransportOptions) {}

  /** Makes one unary call. @throws HubError, or the signal's reason. */
  async unary<Req, Res>(
    method: grpcJs.MethodDefinition<Req, Res>,
    request: Req,
    options: CallOptions = {},
  ): Promise<Res> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connect(signal);
    const deadline = Date.now() + (options.deadlineMs ?? DEFAULT_DEADLINE_MS);
    return new Promise<Res>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        { deadline },
        (err, response) => {
          watch[Symbol.dispose]();
          if (err) reject(signal.aborted ? signal.reason : callError(err, this.options.address));
          else resolve(response as Res);
        },
      );
      const watch = onAbort(signal, () => call.cancel());
    });
  }

  /**
   * Makes a server-streaming call when iterated. Reading slowly slows the hub down; leaving the loop cancels the
   * call. @throws HubError, or the signal's reason.
   */
  async *stream<Req, Res>(
    method: grpcJs.MethodDefinition<Req, Res>,
    request: Req,
    options: CallOptions = {},
  ): AsyncGenerator<Res, void, undefined> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connect(signal);
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
    method: grpcJs.MethodDefinition<Req, Res>,
    requests: AsyncIterable<Req>,
    options: CallOptions = {},
  ): AsyncGenerator<Res, void, undefined> {
    const signal = this.signalOf(options);
    const { client, metadata } = await this.connect(signal);
    const call = client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadata,
    );
    const left = new AbortController();
    const broken = new AbortController();
    void send(call, requests, left.signal).catch((err: unknown) => broken.abort(err));
    try {
      yield* this.responses(call, AbortSignal.any([signal, broken.signal]));
    } finally {
      left.abort();
    }
  }

  /** Whether the hub was reached at least once: only then is a failed call worth repeating. */
  get hasConnected(): boolean {
    return this.reached;
  }

  /** Closes the channel; open calls fail. Idempotent. */
  close(): void {
    this.closed = true;
    this.client?.close();
  }

  private signalOf(options: CallOptions): AbortSignal {
    const signals = [this.options.signal, options.signal].filter((signal) => signal !== undefined);
    const [only = NEVER] = signals;
    const signal = signals.length > 1 ? AbortSignal.any(signals) : only;
    signal.throwIfAborted();
    return signal;
  }

  private async connect(signal: AbortSignal): Promise<Connection> {
    this.opening ??= this.open();
    const connection = await untilAborted(this.opening, signal);
    await this.untilSettled(connection.client.getChannel(), signal);
    return connection;
  }

  private async open(): Promise<Connection> {
    const { address, token } = this.options;
    const grpc = address.kind === 'xds' ? await (await import('./xds.js')).loadXdsGrpc() : grpcJs;
    if (this.closed) throw unreachable(address, 'this client is closed');
    this.client = new grpc.Client(address.target, grpc.credentials.createInsecure(), channelOptions(address));
    const metadata = new grpc.Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return { client: this.client, metadata };
  }

  /**
   * Waits until the channel is connected or knows why it is not; in the second case the call itself fails with the
   * cause. Without a limit of our own grpc-js stays CONNECTING for ever against a silent peer or control plane.
   */
  private async untilSettled(
    channel: ReturnType<grpcJs.Client['getChannel']>,
    signal: AbortSignal,
  ): Promise<void> {
    const deadline = Date.now() + this.options.connectTimeoutMs;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === grpcJs.connectivityState.READY) this.reached = true;
      if (state === grpcJs.connectivityState.READY || state === grpcJs.connectivityState.TRANSIENT_FAILURE)
        return;
      if (state === grpcJs.connectivityState.SHUTDOWN)
        throw unreachable(this.options.address, 'this client is closed');
      const change = new Promise<void>((resolve, reject) =>
        channel.watchConnectivityState(state, deadline, (err) => (err ? reject(err) : resolve())),
      );
      await untilAborted(change, signal).catch((err: unknown) => {
        throw signal.aborted ? err : this.tooSlow();
      });
    }
  }

  private tooSlow(): unknown {
    return unreachable(this.options.address, `no answer within ${this.options.connectTimeoutMs} ms`);
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

interface Connection {
  readonly client: grpcJs.Client;
  /** Sent with every call. */
  readonly metadata: grpcJs.Metadata;
}

interface ReadableCall<Res> {
  on(event: 'error', listener: () => void): unknown;
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Res>;
  cancel(): void;
}

interface WritableCall<Req> {
  write(message: Req): boolean;
  once(event: 'drain' | 'close' | 'end' | 'error', listener: () => void): unknown;
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
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function channelOptions(address: HubAddress) {
  return {
    // Retries buffer what long streams carry.
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
    ...(address.local ? { 'grpc.enable_http_proxy': 0 } : {}),
  };
}
