import * as grpcJs from '@grpc/grpc-js';
import { untilAborted } from '../base/abort.js';
import type { HubAddress } from './address.js';
import { unreachable } from './call-error.js';

/** Options of a {@link Connection}. */
export interface ConnectionOptions {
  readonly address: HubAddress;
  /** Sent as `authorization: Bearer`. */
  readonly token?: string;
  /** How long one attempt to connect may take, in milliseconds. */
  readonly connectTimeoutMs: number;
}

/** What calls are made with. */
export interface OpenConnection {
  readonly client: grpcJs.Client;
  /** Sent with every call. */
  readonly metadata: grpcJs.Metadata;
}

const { READY, SHUTDOWN, TRANSIENT_FAILURE } = grpcJs.connectivityState;

/** One channel to a hub, opened when first needed; grpc-js connects it again by itself. */
export class Connection {
  private opening: Promise<OpenConnection> | undefined;
  private client: grpcJs.Client | undefined;
  private closed = false;
  private reached = false;

  constructor(private readonly options: ConnectionOptions) {}

  /** Whether the hub was reached at least once: only then is a failed call worth repeating. */
  get hasConnected(): boolean {
    return this.reached;
  }

  /** Waits for the connection within the time limit. @throws HubError HUB_UNREACHABLE, or the signal's reason. */
  async connect(signal: AbortSignal): Promise<OpenConnection> {
    this.opening ??= this.open();
    const connection = await untilAborted(this.opening, signal);
    await this.untilSettled(connection.client, signal);
    return connection;
  }

  /** Closes the channel; open calls fail. Idempotent. */
  close(): void {
    this.closed = true;
    this.client?.close();
  }

  private async open(): Promise<OpenConnection> {
    const { address, token } = this.options;
    const grpc = address.kind === 'xds' ? await (await import('./xds.js')).loadXdsGrpc() : grpcJs;
    if (this.closed) throw unreachable(address, 'this client is closed');
    this.client = new grpc.Client(address.target, grpc.credentials.createInsecure(), channelOptions(address));
    const metadata = new grpc.Metadata();
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
    return { client: this.client, metadata };
  }

  /**
   * Waits until the channel is ready, or knows why it is not: then the call itself fails with the cause. Without a
   * limit of our own grpc-js stays CONNECTING for ever against a silent peer.
   */
  private async untilSettled(client: grpcJs.Client, signal: AbortSignal): Promise<void> {
    const channel = client.getChannel();
    const deadline = Date.now() + this.options.connectTimeoutMs;
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === READY) this.reached = true;
      if (state === READY || (state === TRANSIENT_FAILURE && this.failsAtOnce)) return;
      if (state === SHUTDOWN) throw unreachable(this.options.address, 'this client is closed');
      const change = new Promise<void>((resolve, reject) =>
        channel.watchConnectivityState(state, deadline, (err) => (err ? reject(err) : resolve())),
      );
      await untilAborted(change, signal).catch((err: unknown) => {
        throw signal.aborted ? err : this.tooSlow();
      });
    }
  }

  /** Calls over `xds:` wait in a channel that has failed, for a control plane that may never come. */
  private get failsAtOnce(): boolean {
    return this.options.address.kind !== 'xds' || this.reached;
  }

  private tooSlow(): unknown {
    return unreachable(this.options.address, `no answer within ${this.options.connectTimeoutMs} ms`);
  }
}

function channelOptions(address: HubAddress): grpcJs.ClientOptions {
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
