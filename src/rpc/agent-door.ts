import type { Logger } from '../base/logger.js';
import type { HubApi } from '../hub/api.js';
import { admitAgents } from './admission.js';
import { Door } from './door.js';
import type { FinishedCall } from './handlers.js';
import { addAgentService, gateBase, type RpcServer } from './operator-server.js';

/** Options of {@link createAgentDoor}. */
export interface AgentDoorOptions {
  readonly hub: Pick<HubApi, 'door'>;
  readonly log: Logger;
  /** Told of every call that was answered, for metrics. Default: nobody. */
  readonly observe?: (call: FinishedCall) => void;
  /** Connections that may be open. Default 10000. */
  readonly maxConnections?: number;
  /** How long a connection may take to speak HTTP/2, in milliseconds. Default 5000. */
  readonly helloTimeoutMs?: number;
}

const MAX_STREAMS = 100;
/** Room for a file of 1 MiB as base64 in one report. */
const MAX_RECEIVE_BYTES = 2 * 1024 * 1024;

/**
 * The agents' server: the service Agent and nothing else, on a unix socket or a port of its own. It is all of the
 * hub that a machine can reach; every stream proves itself with the agent's join secret.
 */
export function createAgentDoor(options: AgentDoorOptions): RpcServer {
  const { hub, log, maxConnections, helloTimeoutMs } = options;
  const door = new Door({
    log,
    maxReceiveBytes: MAX_RECEIVE_BYTES,
    maxStreams: MAX_STREAMS,
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(helloTimeoutMs === undefined ? {} : { helloTimeoutMs }),
  });
  addAgentService(door.server, hub, { ...gateBase(door, options), admit: admitAgents(hub.door) });
  return {
    listen: (address) => door.listen(address),
    close: (grace) => door.close(grace),
    [Symbol.asyncDispose]: () => door.close({ graceMs: 0 }),
  };
}
