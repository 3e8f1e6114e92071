import type { Server } from '@grpc/grpc-js';
import { AgentService } from '../../gen/vmagent/v1/agent_service.js';
import { HubService } from '../../gen/vmagent/v1/hub_service.js';
import { VmManagerService } from '../../gen/vmagent/v1/vm_manager_service.js';
import type { Logger } from '../base/logger.js';
import type { HubApi } from '../hub/api.js';
import type { BridgePass } from '../security/bridge-pass.js';
import type { CallerRule } from '../security/caller-rule.js';
import type { UidLookup } from '../security/connection.js';
import type { VmApi } from '../vm/api.js';
import { admitAgents, admitOperators } from './admission.js';
import { agentHandlers } from './agent-service.js';
import { Door } from './door.js';
import { bindService, type FinishedCall, type Gate } from './handlers.js';
import { Health } from './health.js';
import { hubHandlers } from './hub-service.js';
import { loadHealth } from './loaded-definitions.js';
import { addReflection } from './reflection.js';
import { timeLimitMs } from './time-limits.js';
import { vmManagerHandlers } from './vm-manager-service.js';

/** Options of {@link createOperatorServer}. */
export interface OperatorServerOptions {
  readonly hub: HubApi;
  readonly vm: VmApi;
  readonly rule: CallerRule;
  /** Lets the HTTP bridge of the same process speak for its callers. */
  readonly bridge: BridgePass;
  readonly log: Logger;
  /** Told of every call that was answered, for metrics. Default: nobody. */
  readonly observe?: (call: FinishedCall) => void;
  /** Longest time of a unary call without a deadline, in milliseconds. Default: {@link timeLimitMs}. */
  readonly limitMs?: (path: string, request: unknown) => number;
  /** Connections that may be open. Default 10000. */
  readonly maxConnections?: number;
  /** How long a connection may take to speak HTTP/2, in milliseconds. Default 5000. */
  readonly helloTimeoutMs?: number;
  /** How the user at the other end is found out. Default: the kernel's tables. */
  readonly uidLookup?: UidLookup;
}

/** A gRPC server that was made and not yet bound. */
export interface RpcServer extends AsyncDisposable {
  /**
   * Listens at one more address, `HOST:PORT` or `unix:/path`, and answers the bound port (0 for a socket).
   *
   * @throws HubError ADDRESS_IN_USE naming the address, INVALID_FIELD.
   */
  listen(address: string): Promise<number>;
  /** Refuses new calls, ends streams as UNAVAILABLE, and closes all connections after `graceMs` at the latest. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/**
 * Calls that one connection may have open. An operator's client uses one connection for everything, and a
 * follower a task is usual (`logs --follow`, `tasks:watch`), so that the 100 of an agent would soon be reached.
 */
const MAX_STREAMS = 1000;
const MAX_RECEIVE_BYTES = 4 * 1024 * 1024;

const SERVICES = ['vmagent.v1.Hub', 'vmagent.v1.VmManager', 'vmagent.v1.Agent', 'grpc.health.v1.Health'];

/** The operators' server: Hub, VmManager, Agent for agents, health and reflection. */
export function createOperatorServer(options: OperatorServerOptions): RpcServer {
  const { log, maxConnections, helloTimeoutMs, uidLookup } = options;
  const door = new Door({
    log,
    maxReceiveBytes: MAX_RECEIVE_BYTES,
    maxStreams: MAX_STREAMS,
    ...(maxConnections === undefined ? {} : { maxConnections }),
    ...(helloTimeoutMs === undefined ? {} : { helloTimeoutMs }),
    ...(uidLookup === undefined ? {} : { uidLookup }),
  });
  const health = new Health(SERVICES);
  addServices(door, health, options);
  const close = async (grace: { readonly graceMs: number }) => {
    health.stopServing();
    // Watchers of the health are told before their streams end.
    await new Promise((resolve) => setImmediate(resolve));
    await door.close(grace);
  };
  return {
    listen: (address) => door.listen(address),
    close,
    [Symbol.asyncDispose]: () => close({ graceMs: 0 }),
  };
}

function addServices(door: Door, health: Health, options: OperatorServerOptions): void {
  const { server } = door;
  const { hub, vm, rule, bridge } = options;
  const base = gateBase(door, options);
  const { connectionOf } = door;
  const operators = { ...base, admit: admitOperators({ rule, bridge, connectionOf }) };
  const agents = { ...base, admit: admitAgents(hub.door) };
  server.addService(HubService, bindService(HubService, hubHandlers(hub, vm), operators));
  server.addService(VmManagerService, bindService(VmManagerService, vmManagerHandlers(hub, vm), operators));
  addAgentService(server, hub, agents);
  const loaded = loadHealth();
  health.addTo(server, loaded, operators);
  addReflection(server, { gate: operators, services: SERVICES, loaded: [loaded] });
}

/** Adds the service Agent. */
export function addAgentService(
  server: Server,
  hub: Pick<HubApi, 'door'>,
  gate: Gate<{ readonly agentId: string }>,
): void {
  server.addService(AgentService, bindService(AgentService, agentHandlers(hub), gate));
}

/** What all services of a door have in common. */
export function gateBase(
  door: Door,
  options: Pick<OperatorServerOptions, 'log' | 'observe' | 'limitMs'>,
): Omit<Gate<unknown>, 'admit'> {
  const { log, observe = () => {}, limitMs = timeLimitMs } = options;
  return { calls: door.calls, log, observe, limitMs };
}
