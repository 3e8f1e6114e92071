import {
  type DeepPartial,
  type GetHealthResponse,
  type GetStatsResponse,
  HubService,
  type ShellOpen,
  type StreamLogsRequest,
  type WatchEventsRequest,
} from '../../gen/vmagent/v1/hub_service.js';
import type { Event, LogRecord } from '../../gen/vmagent/v1/log.js';
import type { Task } from '../../gen/vmagent/v1/task.js';
import { parseAddress } from './address.js';
import { AgentsClient } from './agents.js';
import { type ExecOptions, type ExecRequest, exec } from './exec.js';
import { MachinesClient } from './machines.js';
import { openShell, type ShellInput, type StreamOptions, streamLogs, watchEvents } from './streams.js';
import { TasksClient } from './tasks.js';
import { type CallOptions, Transport } from './transport.js';

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** HOST:PORT, `unix:/path`, `dns:///NAME:PORT` or `xds:///NAME`. */
  readonly address: string;
  /** Sent with every call as `authorization: Bearer`. */
  readonly token?: string;
  /** Ends every call of this client when aborted. */
  readonly signal?: AbortSignal;
  /** How long one attempt to connect may take, in milliseconds. Default 5000. */
  readonly connectTimeoutMs?: number;
}

/**
 * Talks to a hub. Connects on the first call. All methods reject with a HubError, or with the reason of the signal
 * that ended them; streams end when their loop is left.
 */
export interface VmAgentClient extends AsyncDisposable {
  readonly tasks: TasksClient;
  readonly agents: AgentsClient;
  readonly vm: MachinesClient;
  /** Runs a command and hands out its output as it comes; resolves however the task ended. */
  exec(request: ExecRequest, options?: ExecOptions): Promise<Task>;
  logs(request: DeepPartial<StreamLogsRequest>, options?: StreamOptions): AsyncIterable<LogRecord>;
  events(request?: DeepPartial<WatchEventsRequest>, options?: StreamOptions): AsyncIterable<Event>;
  /** Yields bytes for the screen and returns the exit code. */
  shell(
    open: DeepPartial<ShellOpen>,
    input: AsyncIterable<ShellInput>,
    options?: { readonly signal?: AbortSignal },
  ): AsyncGenerator<Uint8Array, number, undefined>;
  /** Answers without credentials. */
  health(options?: CallOptions): Promise<GetHealthResponse>;
  stats(options?: CallOptions): Promise<GetStatsResponse>;
  /** Closes the connection; open calls fail. Idempotent. */
  close(): void;
}

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;

/**
 * Makes a client of the hub at an address.
 *
 * @throws HubError INVALID_FIELD for an address that cannot be understood.
 */
export function createClient(options: ClientOptions): VmAgentClient {
  const { address, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, ...rest } = options;
  const transport = new Transport({ ...rest, address: parseAddress(address), connectTimeoutMs });
  const tasks = new TasksClient(transport);
  return {
    tasks,
    agents: new AgentsClient(transport),
    vm: new MachinesClient(transport),
    exec: (request, execOptions) => exec(transport, tasks, request, execOptions),
    logs: (request, streamOptions) => streamLogs(transport, request, streamOptions),
    events: (request = {}, streamOptions = {}) => watchEvents(transport, request, streamOptions),
    shell: (open, input, shellOptions) => openShell(transport, open, input, shellOptions),
    health: (call) => transport.unary(HubService.getHealth, {}, call),
    stats: (call) => transport.unary(HubService.getStats, {}, call),
    close: () => transport.close(),
    [Symbol.asyncDispose]: async () => transport.close(),
  };
}
