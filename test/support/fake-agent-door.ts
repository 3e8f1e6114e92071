import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Metadata, Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  AgentService,
  type AttachShellRequest,
  type AttachShellResponse,
  type ConnectRequest,
  type ConnectResponse,
  type StreamOutputRequest,
  type StreamOutputResponse,
} from '../../gen/vmagent/v1/agent_service.js';
import { until } from '../../src/base/until.js';
import { Wakeups } from '../../src/base/wakeups.js';
import type { AgentHealth } from '../../src/model/agent.js';
import type {
  AgentFrame,
  Assignment,
  AttachShellFrame,
  AttemptReport,
  Hello,
  HubFrame,
  Welcome,
} from '../../src/model/agent-protocol.js';
import type { OutputStream } from '../../src/model/output.js';
import { isTerminal, type TaskSpec } from '../../src/model/task.js';
import {
  agentFrameFromProto,
  attachShellFromProto,
  hubFrameToProto,
  outputAcksToProto,
  outputFrameFromProto,
  shellInputToProto,
} from '../../src/wire/agent-protocol.js';

type ConnectCall = ServerDuplexStream<ConnectRequest, ConnectResponse>;
type OutputCall = ServerDuplexStream<StreamOutputRequest, StreamOutputResponse>;

/** What a fake hub did with one chunk that it did not store. */
export interface OutputTrouble {
  readonly kind: 'duplicate' | 'rewind' | 'gap';
  readonly key: string;
}

/** A shell as the fake hub sees it. */
export interface FakeShell {
  readonly frames: AttachShellFrame[];
  readonly call: ServerDuplexStream<AttachShellRequest, AttachShellResponse>;
  /** What was shown so far. */
  text(): string;
}

/** A scripted hub: a real gRPC server on a unix socket that implements the Agent service and nothing else. */
export class FakeAgentDoor {
  readonly dir = mkdtempSync(join(tmpdir(), 'door-'));
  readonly door = `unix:${join(this.dir, 's')}`;
  readonly hellos: Hello[] = [];
  readonly frames: AgentFrame[] = [];
  readonly reports: AttemptReport[] = [];
  readonly health: AgentHealth[] = [];
  readonly metadata: Metadata[] = [];
  readonly troubles: OutputTrouble[] = [];
  readonly shells = new Map<string, FakeShell>();
  readonly changed = new Wakeups();
  /** Overrides parts of the next Welcome. */
  welcome: Partial<Welcome> = {};
  /** Whether reports are acknowledged as they come. */
  ackReports = true;
  /** Whether output is acknowledged as it comes. */
  ackOutput = true;
  /** Refuses every Connect with this status. */
  refuse: { code: status; details: string } | undefined;
  /** Ends the output stream once, after so many bytes were stored. */
  breakOutputAfter = Number.POSITIVE_INFINITY;
  private readonly stored = new Map<string, Buffer[]>();
  private readonly offsets = new Map<string, number>();
  private acked = 0;
  private generation = 0;
  private storedBytes = 0;
  private server: Server | undefined;
  private connect: ConnectCall | undefined;
  private outputCall: OutputCall | undefined;

  /** Listens; after {@link stop} it can listen again at the same place. */
  async listen(): Promise<void> {
    const server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
    server.addService(AgentService, {
      connect: (call: ConnectCall) => this.onConnect(call),
      streamOutput: (call: OutputCall) => this.onOutput(call),
      attachShell: (call: FakeShell['call']) => this.onShell(call),
    });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(this.door, ServerCredentials.createInsecure(), (err) =>
        err ? reject(err) : resolve(),
      );
    });
    this.server = server;
  }

  /** Breaks all connections and listens no more. */
  stop(): void {
    this.server?.forceShutdown();
    this.server = undefined;
    this.connect = undefined;
    rmSync(join(this.dir, 's'), { force: true });
  }

  close(): void {
    this.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Sends a frame on the live session. */
  send(frame: HubFrame): void {
    this.connect?.write(hubFrameToProto(frame));
  }

  /** Hands a task to the agent. */
  assign(
    task: string,
    spec: Partial<TaskSpec> & Pick<TaskSpec, 'type'>,
    more: Partial<Assignment> = {},
  ): void {
    const base = { env: {}, secrets: {}, timeoutMs: 60_000, sudo: false };
    const full = { ...base, ...spec } as TaskSpec;
    const assignment = { task, attempt: 1, lane: 'default', spec: full, stopLaneOnFailure: false, ...more };
    this.send({ type: 'assignment', assignment });
  }

  /** Runs a shell command line as a task and answers how it ended. */
  async exec(task: string, command: string, more: Partial<TaskSpec> = {}): Promise<AttemptReport> {
    this.assign(task, { type: 'exec', run: { command }, ...more } as TaskSpec);
    return await this.ended(task);
  }

  /** The end of an attempt, once it is reported and all of its output is here. */
  async ended(task: string, attempt = 1): Promise<AttemptReport> {
    const find = () => this.reportsOf(task, attempt).find(({ state }) => isTerminal(state));
    await this.until(() => {
      const { outcome } = find() ?? {};
      if (outcome === undefined) return false;
      const whole = this.size(task, 'STDOUT', attempt) >= outcome.stdoutBytes;
      return !this.ackOutput || (whole && this.size(task, 'STDERR', attempt) >= outcome.stderrBytes);
    });
    const report = find();
    if (report === undefined) throw new Error('unreachable');
    return report;
  }

  /** Resolves once a report of this state came. */
  async state(task: string, state: AttemptReport['state']): Promise<void> {
    await this.until(() => this.reportsOf(task).some((report) => report.state === state));
  }

  reportsOf(task: string, attempt = 1): readonly AttemptReport[] {
    return this.reports.filter((report) => report.task === task && report.attempt === attempt);
  }

  /** Resolves when a condition about what came in holds. */
  until(isSo: () => boolean): Promise<void> {
    return until(this.changed, isSo);
  }

  /** Resolves when so many sessions were opened in all. */
  async sessions(count: number): Promise<void> {
    await this.until(() => this.generation >= count);
  }

  /** What is stored of a stream. */
  output(task: string, stream: OutputStream = 'STDOUT', attempt = 1): Buffer {
    return Buffer.concat(this.stored.get(`${task} ${attempt} ${stream}`) ?? []);
  }

  /** How many bytes came of a stream, gaps included; with {@link discard} they are counted and not kept. */
  size(task: string, stream: OutputStream = 'STDOUT', attempt = 1): number {
    return this.offsets.get(`${task} ${attempt} ${stream}`) ?? 0;
  }

  /** Counts output without keeping it. */
  discard = false;

  /** Acknowledges all output that is stored. */
  ackStored(): void {
    for (const [key, nextOffset] of this.offsets) this.ack(key, nextOffset, false);
  }

  /** Breaks the live session. */
  breakSession(cause = { code: status.UNAVAILABLE, details: 'broken by the test' }): void {
    this.connect?.emit('error', cause);
  }

  /** Loses what is behind an offset of attempt 1 and wants it again. */
  forgetBehind(task: string, stream: OutputStream, offset: number): void {
    const key = `${task} 1 ${stream}`;
    this.stored.set(key, [this.output(task, stream).subarray(0, offset)]);
    this.offsets.set(key, offset);
    this.ack(key, offset, true);
  }

  private onConnect(call: ConnectCall): void {
    this.metadata.push(call.metadata);
    call.on('error', () => {});
    call.on('end', () => call.end());
    if (this.refuse !== undefined) {
      call.emit('error', this.refuse);
      this.changed.notify();
      return;
    }
    this.connect = call;
    call.on('data', (message: ConnectRequest) => this.onFrame(call, agentFrameFromProto(message)));
  }

  private onFrame(call: ConnectCall, frame: AgentFrame): void {
    if (frame.type === 'hello') this.onHello(call, frame.hello);
    else this.frames.push(frame);
    if (frame.type === 'health') this.health.push(frame.health);
    if (frame.type === 'report') {
      this.reports.push(frame.report);
      this.acked = Math.max(this.acked, frame.report.sequence);
      if (this.ackReports) this.send({ type: 'ack', sequence: this.acked });
    }
    this.changed.notify();
  }

  private onHello(call: ConnectCall, hello: Hello): void {
    this.hellos.push(hello);
    this.generation += 1;
    const outputs = [...this.offsets].map(([key, nextOffset]) => ({
      ...keyOf(key),
      nextOffset,
      rewind: false,
    }));
    const welcome: Welcome = {
      sessionGeneration: this.generation,
      hubEpoch: 'epoch',
      ackedSequence: this.ackReports ? this.acked : 0,
      healthIntervalMs: 60_000,
      reconnectSpreadMs: 200,
      outputWindowBytes: 1024 * 1024,
      concurrency: 1,
      outputs,
      ...this.welcome,
    };
    call.write(hubFrameToProto({ type: 'welcome', welcome }));
  }

  private onOutput(call: OutputCall): void {
    this.outputCall = call;
    call.on('error', () => {});
    call.on('end', () => call.end());
    call.on('data', (message: StreamOutputRequest) => {
      const frame = outputFrameFromProto(message);
      if (frame.type === 'chunk') {
        const { task, attempt, stream, offset, data } = frame.chunk;
        this.store(`${task} ${attempt} ${stream}`, offset, Buffer.from(data));
      } else if (frame.type === 'gap') {
        const { task, attempt, stream, offset, bytes } = frame.gap;
        this.troubles.push({ kind: 'gap', key: `${task} ${attempt} ${stream}` });
        this.offsets.set(`${task} ${attempt} ${stream}`, offset + bytes);
      }
      this.changed.notify();
    });
  }

  private store(key: string, offset: number, data: Buffer): void {
    const next = this.offsets.get(key) ?? 0;
    if (offset + data.length <= next) this.troubles.push({ kind: 'duplicate', key });
    else if (offset !== next) {
      this.troubles.push({ kind: 'rewind', key });
      this.ack(key, next, true);
    } else {
      this.offsets.set(key, next + data.length);
      if (!this.discard) this.stored.set(key, [...(this.stored.get(key) ?? []), data]);
      this.storedBytes += data.length;
    }
    if (this.storedBytes >= this.breakOutputAfter) {
      this.breakOutputAfter = Number.POSITIVE_INFINITY;
      this.outputCall?.emit('error', { code: status.UNAVAILABLE, details: 'broken by the test' });
    } else if (this.ackOutput) this.ack(key, this.offsets.get(key) ?? 0, false);
  }

  private ack(key: string, nextOffset: number, rewind: boolean): void {
    this.outputCall?.write(outputAcksToProto([{ ...keyOf(key), nextOffset, rewind }]));
  }

  private onShell(call: FakeShell['call']): void {
    const frames: AttachShellFrame[] = [];
    call.on('error', () => {});
    call.on('end', () => call.end());
    call.on('data', (message: AttachShellRequest) => {
      const frame = attachShellFromProto(message);
      frames.push(frame);
      const text = () =>
        Buffer.concat(frames.flatMap((f) => (f.type === 'output' ? [Buffer.from(f.data)] : []))).toString();
      if (frame.type === 'open') this.shells.set(frame.shell, { frames, call, text });
      this.changed.notify();
    });
  }
}

/** Types into a shell. */
export function type(shell: FakeShell, text: string): void {
  shell.call.write(shellInputToProto({ type: 'input', data: Buffer.from(text) }));
}

/** Changes the size of a shell's window. */
export function resize(shell: FakeShell, columns: number, rows: number): void {
  shell.call.write(shellInputToProto({ type: 'size', size: { columns, rows } }));
}

function keyOf(key: string): { task: string; attempt: number; stream: OutputStream } {
  const [task = '', attempt = '', stream = ''] = key.split(' ');
  return { task, attempt: Number(attempt), stream: stream as OutputStream };
}
