import { credentials, Metadata } from '@grpc/grpc-js';
import { AgentClient } from '../../../gen/vmagent/v1/agent_service.js';
import { onAbort } from '../../base/abort.js';

/** For the connection to stand: grpc-js by itself waits for ever for a peer that says nothing. */
const CONNECT_MS = 5000;

/**
 * The peer is known to be gone within 12 s. Retries would keep all messages of a long stream in memory; a shared
 * channel would survive the restore of a machine, though its connection does not.
 */
const OPTIONS = {
  'grpc.keepalive_time_ms': 8000,
  'grpc.keepalive_timeout_ms': 4000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.enable_retries': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': 8 * 1024 * 1024,
};

/** Who connects, and where. */
export interface ChannelOptions {
  /** `unix:/path` or `host:port`. */
  readonly door: string;
  readonly agentId: string;
  readonly token: string;
}

/** One connection to the door, with the metadata that every stream carries. */
export interface Channel {
  readonly client: AgentClient;
  metadata(): Metadata;
}

/**
 * Connects.
 *
 * @throws Error when the door does not answer in time.
 */
export async function openChannel(options: ChannelOptions, signal: AbortSignal): Promise<Channel> {
  const { door, agentId, token } = options;
  signal.throwIfAborted();
  const client = new AgentClient(door, credentials.createInsecure(), OPTIONS);
  const metadata = () => {
    const made = new Metadata();
    made.set('x-agent-id', agentId);
    made.set('authorization', `Bearer ${token}`);
    return made;
  };
  using _stop = onAbort(signal, () => client.close());
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Date.now() + CONNECT_MS, (err) => {
      if (err === undefined) resolve();
      else reject(new Error(`the hub's agent door ${door} does not answer`, { cause: err }));
    });
  }).catch((err: unknown) => {
    client.close();
    throw err;
  });
  return { client, metadata };
}
