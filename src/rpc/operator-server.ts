import type { Server } from '@grpc/grpc-js';
import { AgentService } from '../../gen/vmagent/v1/agent_service.js';
import { HubService } from '../../gen/vmagent/v1/hub_service.js';
import { VmManagerService } from '../../gen/vmagent/v1/vm_manager_service.js';
import type { Logger } from '../base/logger.js';
import type { HubApi } from '../hub/api.js';
import type { Caller } from '../security/caller.js';
import type { CallerRule } from '../security/caller-rule.js';
import type { UidLookup } from '../security/connection.js';
import type { VmApi } from '../vm/api.js';
import { admitAgents, admitHandedOver, admitOperators } from './admission.js';
import { agentHandlers } from './agent-service.js';
import { Door } from './door.js';
import { bindService, type FinishedCall, type Gate, type ServiceHost } from './handlers.js';
import { Health } from './health.js';
import { hubHandlers } from './hub-service.js';
import { InProcess } from './in-process/in-process.js';
import { type LoadedService, loadHealth } from './loaded-definitions.js';
import { addReflection } from './reflection.js';
import { timeLimitMs } from './time-limits.js';
import { vmManagerHandlers } from './vm-manager-service.js';

/** Options of {@link createOperatorServer}. */
export interface OperatorServerOptions {
  readonly hub: HubApi;
  readonly vm: VmApi;
  readonly rule: CallerRule;
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

/** The operators' server, which other doors of the process can call without a connection. */
export interface OperatorServer extends RpcServer {
  /** Hub, VmManager and health. Whoever calls says for whom. It is closed by its user, at the latest with the server. */
  readonly inProcess: InProcess;
}

/**
 * Calls that one connection may have open. An operator's client uses one connection for everything, and a
 * follower a task is usual (`logs --follow`, `tasks:watch`), so that the 100 of an agent would soon be reached.
 */
const MAX_STREAMS = 1000;
const MAX_RECEIVE_BYTES = 4 * 1024 * 1024;

const SERVICES = ['vmagent.v1.Hub', 'vmagent.v1.VmManager', 'vmagent.v1.Agent', 'grpc.health.v1.Health'];

/** The operators' server: Hub, VmManager, Agent for agents, health and reflection. */
export function createOperatorServer(options: OperatorServerOptions): OperatorServer {
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
  const inProcess = new InProcess();
  addServices(door, health, options);
  addHandedOver(inProcess, health, options);
  const close = async (grace: { readonly graceMs: number }) => {
    health.stopServing();
    // Watchers of the health are told before their streams end.
    await new Promise((resolve) => setImmediate(resolve));
    inProcess.close();
    await door.close(grace);
  };
  return {
    inProcess,
    listen: (address) => door.listen(address),
    close,
    [Symbol.asyncDispose]: () => close({ graceMs: 0 }),
  };
}

function addServices(door: Door, health: Health, options: OperatorServerOptions): void {
  const { server } = door;
  const { hub, rule } = options;
  const base = gateBase(door, options);
  const { connectionOf } = door;
  const operators = { ...base, admit: admitOperators({ rule, connectionOf }) };
  const agents = { ...base, admit: admitAgents(hub.door) };
  const loaded = addOperatorServices(server, health, options, operators);
  addAgentService(server, hub, agents);
  addReflection(server, { gate: operators, services: SERVICES, loaded: [loaded] });
}

/** What other doors of the process may call: neither agents' methods nor reflection. */
function addHandedOver(inProcess: InProcess, health: Health, options: OperatorServerOptions): void {
  addOperatorServices(inProcess, health, options, {
    ...gateBase(inProcess, options),
    admit: admitHandedOver,
  });
}

function addOperatorServices(
  server: ServiceHost,
  health: Health,
  { hub, vm }: OperatorServerOptions,
  gate: Gate<Caller>,
): LoadedService {
  server.addService(HubService, bindService(HubService, hubHandlers(hub, vm), gate));
  server.addService(VmManagerService, bindService(VmManagerService, vmManagerHandlers(hub, vm), gate));
  const loaded = loadHealth();
  health.addTo(server, loaded, gate);
  return loaded;
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
  door: Pick<Door, 'calls'>,
  options: Pick<OperatorServerOptions, 'log' | 'observe' | 'limitMs'>,
): Omit<Gate<unknown>, 'admit'> {
  const { log, observe = () => {}, limitMs = timeLimitMs } = options;
  return { calls: door.calls, log, observe, limitMs };
}
