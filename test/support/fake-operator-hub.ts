import { once } from 'node:events';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { AgentInfo } from '../../gen/vmagent/v1/agent.js';
import {
  CancelTaskResponse,
  type CreateAgentRequest,
  type CreateTaskRequest,
  CreateTaskResponse,
  GetHealthResponse,
  HubService,
  type ShellRequest,
  ShellResponse,
  type StreamLogsRequest,
  StreamLogsResponse,
} from '../../gen/vmagent/v1/hub_service.js';
import { type Event, LogRecord } from '../../gen/vmagent/v1/log.js';
import { Task, type Task_State, type TaskOutcome } from '../../gen/vmagent/v1/task.js';
import { Snapshot, Vm } from '../../gen/vmagent/v1/vm.js';
import {
  type DeleteSnapshotRequest,
  type GetConsoleRequest,
  type KeepVmAliveRequest,
  type ResizeVmRequest,
  VmManagerService,
} from '../../gen/vmagent/v1/vm_manager_service.js';
import { Wakeups } from '../../src/base/wakeups.js';
import { HubError } from '../../src/model/hub-error.js';
import { statusMetadata } from '../../src/wire/status.js';

/** A task of the fake hub, played by the test. */
export class ScriptedTask {
  readonly records: LogRecord[] = [];
  readonly wakeups = new Wakeups();
  readonly cancels: boolean[] = [];
  /** Called when the task is cancelled. */
  onCancel: (force: boolean) => void = () => {};
  private readonly offsets = { STDOUT: 0, STDERR: 0 };

  constructor(
    readonly request: CreateTaskRequest,
    readonly id: string,
    public state: Task_State = 'RUNNING',
    public outcome?: TaskOutcome,
  ) {}

  write(stream: 'STDOUT' | 'STDERR', data: string | Uint8Array): this {
    const bytes = Buffer.from(data);
    const record = { stream, data: bytes, offset: this.offsets[stream], task: this.id };
    this.offsets[stream] += bytes.length;
    return this.add(record);
  }

  gap(gapBytes: number): this {
    return this.add({ stream: 'GAP', gapBytes, task: this.id });
  }

  end(state: Task_State, outcome: Parameters<typeof Task.fromPartial>[0]['outcome'] = {}): void {
    this.state = state;
    this.outcome = Task.fromPartial({ outcome: { reason: 'EXITED', ...outcome } }).outcome;
    this.wakeups.notify();
  }

  exit(exitCode: number): void {
    this.end(exitCode === 0 ? 'SUCCEEDED' : 'FAILED', { exitCode });
  }

  get ended(): boolean {
    return this.outcome !== undefined;
  }

  toProto(): Task {
    const { id, state, outcome } = this;
    const { agent } = this.request;
    const stateReason = state === 'QUEUED' ? 'AGENT_OFFLINE' : '';
    return Task.fromPartial({
      id,
      agent,
      state,
      stateReason,
      cancelRequested: this.cancels.length > 0,
      outcome,
    });
  }

  private add(record: Parameters<typeof LogRecord.fromPartial>[0]): this {
    this.records.push(LogRecord.fromPartial({ ...record, cursor: String(this.records.length + 1) }));
    this.wakeups.notify();
    return this;
  }
}

/** A real gRPC server that plays the operators' side of a hub. It keeps its state over {@link restart}. */
export class FakeOperatorHub {
  readonly tasks = new Map<string, ScriptedTask>();
  /** Cursors with which output was asked for. */
  readonly cursors: string[] = [];
  /** Values of `authorization` that came. */
  readonly tokens: string[] = [];
  readonly agents: AgentInfo[] = [];
  readonly removed: string[] = [];
  events: Event[] = [];
  /** Plays each new task. */
  onTask: (task: ScriptedTask) => void = (task) => task.exit(0);
  /** Plays a terminal. */
  onShell: (call: ServerDuplexStream<ShellRequest, ShellResponse>) => void = (call) => call.end();
  private server: Server | undefined;
  private port = 0;

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Serves on a port; by default on any free one, and after {@link stop} on the same as before. */
  async start(port = this.port): Promise<this> {
    const server = new Server();
    server.addService(HubService, this.hubHandlers());
    server.addService(VmManagerService, this.vmHandlers());
    this.port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (err, bound) =>
        err ? reject(err) : resolve(bound),
      ),
    );
    this.server = server;
    return this;
  }

  /** Breaks all connections; the port stays this hub's. */
  stop(): void {
    this.server?.forceShutdown();
    this.server = undefined;
  }

  async restart(): Promise<void> {
    this.stop();
    await this.start();
  }

  private hubHandlers() {
    return {
      createTask: unary((request: CreateTaskRequest) => this.createTask(request), this.tokens),
      getTask: unary(({ task }: { task: string }) => ({ task: this.task(task).toProto() })),
      cancelTask: unary(({ task, force }: { task: string; force: boolean }) => {
        const scripted = this.task(task);
        scripted.cancels.push(force);
        scripted.onCancel(force);
        return CancelTaskResponse.fromPartial({ task: scripted.toProto() });
      }),
      watchTask: (call: ServerWritableStream<{ task: string }, { task: Task; cursor: string }>) =>
        this.watchTask(call),
      streamLogs: (call: ServerWritableStream<StreamLogsRequest, StreamLogsResponse>) =>
        void this.streamLogs(call),
      listTasks: unary(() => ({
        tasks: [...this.tasks.values()].map((task) => task.toProto()),
        nextPageToken: '',
      })),
      listAgents: unary(() => ({ agents: this.agents, nextPageToken: '' }), this.tokens),
      createAgent: unary((request: CreateAgentRequest) => {
        this.requests.push(request);
        const { name } = request;
        return {
          agent: AgentInfo.fromPartial({ id: name, status: 'online', state: 'ONLINE' }),
          vm: Vm.fromPartial({ name, stages: this.stages }),
        };
      }),
      registerAgent: unary(() => ({ agent: undefined, token: '', door: '' })),
      getAgentStatus: unary(({ agent }: { agent: string }) => {
        const found = this.agents.find(({ id }) => id === agent);
        if (!found)
          throw new HubError('AGENT_NOT_FOUND', `there is no agent ${agent}`, { metadata: { agent } });
        return { agent: found, vm: Vm.fromPartial({ name: agent, provider: 'local', ...this.vm }) };
      }),
      deleteAgent: unary(({ agent }: { agent: string }) => {
        this.removed.push(agent);
        return { status: 'deregistered' };
      }),
      shell: (call: ServerDuplexStream<ShellRequest, ShellResponse>) => this.onShell(call),
      watchEvents: (call: ServerWritableStream<{ cursor: string }, { event: Event }>) => {
        for (const event of this.events)
          if (Number(event.cursor) > Number(call.request.cursor)) call.write({ event });
      },
      getHealth: unary(() => GetHealthResponse.fromPartial({ status: 'healthy' })),
      getStats: unary(() => ({ router: undefined, agents: [] })),
      listDeadLetters: unary(() => ({ deadLetterQueue: [] })),
      clearDeadLetters: unary(() => ({ status: 'cleared' })),
      setLogLevel: unary(({ level }: { level: string }) => ({ level })),
    };
  }

  /** Stages that CreateAgent answers. */
  stages: Vm['stages'] = [];
  readonly snapshots: Snapshot[] = [];
  /** Further facts of every machine. */
  vm: Parameters<typeof Vm.fromPartial>[0] = {};
  /** What was asked of machines. */
  readonly requests: unknown[] = [];
  /** What the console of every machine shows. */
  console = '';

  private vmHandlers() {
    const refuse = unary((): never => {
      throw new HubError('NOT_SUPPORTED', 'the fake hub has no machines');
    });
    const vm = unary(({ agent }: { agent: string }) => ({
      vm: Vm.fromPartial({ name: agent }),
      agent: undefined,
    }));
    return {
      getVm: vm,
      listVms: refuse,
      startVm: vm,
      stopVm: vm,
      restartVm: vm,
      resizeVm: unary((request: ResizeVmRequest) => {
        this.requests.push(request);
        const { agent: name, cpu, memory, disk } = request;
        return { vm: Vm.fromPartial({ name, resources: { cpu, memory, disk } }), restartNeeded: true };
      }),
      keepVmAlive: unary((request: KeepVmAliveRequest) => {
        this.requests.push(request);
        const at = { seconds: Math.floor(Date.now() / 1000) + 7_200, nanos: 0 };
        const life = {
          ttl: { seconds: 60, nanos: 0 },
          onExpire: 'destroy',
          expireTime: at,
          keepUntilTime: at,
        };
        return { vm: Vm.fromPartial({ name: request.agent, state: 'RUNNING', life }) };
      }),
      getConsole: unary((request: GetConsoleRequest) => {
        this.requests.push(request);
        return { text: this.console };
      }),
      listSnapshots: unary(() => ({ snapshots: this.snapshots })),
      createSnapshot: unary(({ name }: { name: string }) => {
        const snapshot = Snapshot.fromPartial({ name });
        this.snapshots.push(snapshot);
        return { snapshot };
      }),
      deleteSnapshot: unary((request: DeleteSnapshotRequest) => {
        this.requests.push(request);
        return {};
      }),
      restoreSnapshot: vm,
      listProviders: unary(() => ({ providers: [] })),
      listImages: refuse,
      listProfiles: unary(() => ({ profiles: [] })),
    };
  }

  private createTask(request: CreateTaskRequest): CreateTaskResponse {
    if (request.agent === 'nobody') throw new HubError('AGENT_NOT_FOUND', 'there is no agent nobody');
    if (request.timeout < 0)
      throw HubError.invalid({ field: 'timeout', description: 'must not be negative' });
    const known = this.tasks.get(request.id);
    const task = known ?? new ScriptedTask(request, request.id || `task-${this.tasks.size + 1}`);
    this.tasks.set(task.id, task);
    if (!known) this.onTask(task);
    return CreateTaskResponse.fromPartial({ taskId: task.id, status: 'sent', task: task.toProto() });
  }

  private task(id: string): ScriptedTask {
    const task = this.tasks.get(id);
    if (!task) throw new HubError('TASK_NOT_FOUND', `there is no task ${id}`);
    return task;
  }

  private watchTask(call: ServerWritableStream<{ task: string }, { task: Task; cursor: string }>): void {
    const task = this.task(call.request.task);
    const tell = () => {
      call.write({ task: task.toProto(), cursor: '' });
      if (task.ended) call.end();
    };
    const listening = task.wakeups.listen(tell);
    call.on('cancelled', () => listening[Symbol.dispose]());
    tell();
  }

  private async streamLogs(call: ServerWritableStream<StreamLogsRequest, StreamLogsResponse>): Promise<void> {
    const { task: id, cursor, follow } = call.request;
    this.cursors.push(cursor);
    const task = [...this.tasks.values()].find((each) => each.id === id || id === '');
    if (!task) return refuseCall(call, new HubError('TASK_NOT_FOUND', `there is no task ${id}`));
    let at = Number(cursor || 0);
    let cancelled = false;
    let wake = () => {};
    const gone = once(call, 'cancelled').then(() => {
      cancelled = true;
      wake();
    });
    using _listening = task.wakeups.listen(() => wake());
    while (!cancelled) {
      const record = task.records[at];
      if (record) {
        at += 1;
        if (!call.write(StreamLogsResponse.fromPartial({ record }))) {
          await Promise.race([once(call, 'drain'), gone]);
        }
      } else if (!follow || task.ended) {
        call.end();
        return;
      } else await new Promise<void>((resolve) => (wake = resolve));
    }
  }
}

function unary<Req, Res>(handle: (request: Req) => Res, tokens: string[] = []) {
  type Call = { request: Req; metadata: { get(key: string): unknown[] } };
  return (call: Call, callback: sendUnaryData<Res>) => {
    tokens.push(...call.metadata.get('authorization').map(String));
    try {
      callback(null, handle(call.request));
    } catch (err) {
      callback(statusMetadata(HubError.from(err)));
    }
  };
}

function refuseCall(call: ServerWritableStream<unknown, unknown>, err: HubError): void {
  call.emit('error', statusMetadata(err));
}

/** A shell answer. */
export function shellOutput(text: string): ShellResponse {
  return ShellResponse.fromPartial({ message: { $case: 'output', value: Buffer.from(text) } });
}

/** The last answer of a shell. */
export function shellExit(exitCode: number): ShellResponse {
  return ShellResponse.fromPartial({ message: { $case: 'exit', value: { exitCode } } });
}
