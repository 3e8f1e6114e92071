import { connectivityState, credentials, Metadata } from '@grpc/grpc-js';
import { AgentClient } from '../../../gen/vmagent/v1/agent_service.js';
import { untilAborted } from '../../base/abort.js';

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
 * Connects, once: when to try again is for the caller to say, who knows how widely to spread.
 *
 * @throws Error when the door refuses or does not answer in time, or the signal's reason.
 */
export async function openChannel(options: ChannelOptions, signal: AbortSignal): Promise<Channel> {
  const { door, agentId, token } = options;
  signal.throwIfAborted();
  const client = new AgentClient(door, credentials.createInsecure(), OPTIONS);
  try {
    await untilAborted(connected(client, Date.now() + CONNECT_MS), signal);
  } catch (err) {
    client.close();
    throw err;
  }
  const metadata = () => {
    const made = new Metadata();
    made.set('x-agent-id', agentId);
    made.set('authorization', `Bearer ${token}`);
    return made;
  };
  return { client, metadata };
}

async function connected(client: AgentClient, deadline: number): Promise<void> {
  const channel = client.getChannel();
  for (let state = channel.getConnectivityState(true); ; state = channel.getConnectivityState(true)) {
    if (state === connectivityState.READY) return;
    if (state === connectivityState.TRANSIENT_FAILURE) throw new Error('nobody listens there');
    if (state === connectivityState.SHUTDOWN) throw new Error('the connection was closed');
    await new Promise<void>((resolve, reject) => {
      channel.watchConnectivityState(state, deadline, (err) => {
        if (err) reject(new Error('it does not answer', { cause: err }));
        else resolve();
      });
    });
  }
}
