import { Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { ErrorInfo } from '../../../gen/google/rpc/error_details.js';
import { Status } from '../../../gen/google/rpc/status.js';
import {
  type CreateTaskRequest,
  GetTaskResponse,
  HubService,
  type StreamLogsRequest,
  StreamLogsResponse,
  type WatchEventsRequest,
} from '../../../gen/vmagent/v1/hub_service.js';
import { LogRecord } from '../../../gen/vmagent/v1/log.js';
import { Task, TaskOutcome } from '../../../gen/vmagent/v1/task.js';
import { deferred } from '../../../src/base/deferred.js';

/** A gRPC server that answers a few methods of Hub as the real one would, and remembers what it was asked. */
export interface StandInHub {
  readonly address: string;
  readonly created: CreateTaskRequest[];
  readonly metadata: Metadata[];
  /** Settles when the client of WatchEvents is gone. */
  readonly watchCancelled: Promise<void>;
  /** How many log records have been handed to gRPC so far. */
  readonly recordsWritten: () => number;
  close(): void;
}

/** Bytes of standard output of the task `done`. */
export const OUTPUT = Buffer.from(Array.from({ length: 1000 }, (_, i) => i % 256));
/** Records of the task `flood`, 64 KiB each. */
export const FLOOD_RECORDS = 400;

const SERVING = Buffer.from([8, 1]);
const same = (bytes: Buffer): Buffer => bytes;

export async function startStandInHub(): Promise<StandInHub> {
  const created: CreateTaskRequest[] = [];
  const metadata: Metadata[] = [];
  const cancelled = deferred();
  let written = 0;
  const server = new Server();
  const { createTask, getTask, streamLogs, watchEvents } = HubService;
  server.addService(
    { createTask, getTask, streamLogs, watchEvents } as unknown as typeof HubService,
    {
      createTask: (call: { request: CreateTaskRequest; metadata: Metadata }, done: Done) => {
        created.push(call.request);
        metadata.push(call.metadata);
        if (call.request.agent === 'gone') done(notFound('gone'));
        else
          done(null, { taskId: 't1', status: 'sent', task: Task.fromPartial({ id: 't1', state: 'QUEUED' }) });
      },
      getTask: (call: { request: { task: string } }, done: Done) => {
        const id = call.request.task;
        const outcome = TaskOutcome.fromPartial({ stdoutBytes: OUTPUT.length });
        const ended = id === 'done' ? { outcome } : {};
        if (id === 'gone') done(notFound(id));
        else done(null, GetTaskResponse.fromPartial({ task: { id, attempt: 2, ...ended } }));
      },
      streamLogs: async (call: LogCall) => {
        const flood = call.request.task === 'flood';
        for (let i = 0; i < (flood ? FLOOD_RECORDS : 4) && !call.cancelled; i++) {
          const data = flood ? Buffer.alloc(65_536, i) : OUTPUT.subarray(i * 250, i * 250 + 250);
          const record = LogRecord.fromPartial({ attempt: 2, stream: 'STDOUT', offset: i * 250, data });
          written++;
          if (!call.write(StreamLogsResponse.fromPartial({ record }))) await drained(call);
        }
        call.end();
      },
      watchEvents: (call: LogCall) => {
        call.on('cancelled', () => cancelled.resolve());
        sendEvents(call as unknown as EventCall);
      },
    } as never,
  );
  const check = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService({ check }, { check: (_call: unknown, done: Done) => done(null, SERVING) } as never);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (err, bound) =>
      err === null ? resolve(bound) : reject(err),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    created,
    metadata,
    watchCancelled: cancelled.promise,
    recordsWritten: () => written,
    close: () => server.forceShutdown(),
  };
}

type Done = (error: Partial<ServiceError> | null, answer?: unknown) => void;

interface EventCall {
  readonly request: WatchEventsRequest;
  write(message: object): boolean;
  end(): void;
  emit(event: 'error', error: Partial<ServiceError>): void;
}

/**
 * Events 1 to 10, those behind the cursor. By `types`: `ten` ends there, `break` fails behind every third, `gone`
 * fails at once; else one event, and the stream stays open.
 */
function sendEvents(call: EventCall): void {
  const { cursor, types } = call.request;
  const [kind = 'one'] = types;
  const last = { one: 1, gone: 0 }[kind] ?? 10;
  for (let at = Number(cursor) + 1; at <= last; at++) {
    call.write({ event: { cursor: String(at), type: 'agent.online', message: '</script>' } });
    if (kind === 'break' && at % 3 === 0) {
      call.emit('error', { code: status.UNAVAILABLE, details: 'away' });
      return;
    }
  }
  if (kind === 'gone') call.emit('error', notFound('gone'));
  else if (kind !== 'one') call.end();
}

interface LogCall {
  readonly request: StreamLogsRequest;
  readonly cancelled: boolean;
  write(message: object): boolean;
  end(): void;
  on(event: string, listener: () => void): void;
  once(event: string, listener: () => void): void;
  off(event: string, listener: () => void): void;
}

function drained(call: LogCall): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      call.off('cancelled', go);
      resolve();
    };
    call.once('drain', go);
    call.once('cancelled', go);
  });
}

function notFound(id: string): Partial<ServiceError> {
  const message = `agent ${id} is not registered`;
  const info = ErrorInfo.encode({ reason: 'AGENT_NOT_FOUND', domain: 'vmagent', metadata: { agent: id } });
  const details = [
    { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from(info.finish()) },
  ];
  const metadata = new Metadata();
  metadata.set(
    'grpc-status-details-bin',
    Buffer.from(Status.encode({ code: status.NOT_FOUND, message, details }).finish()),
  );
  return { code: status.NOT_FOUND, details: message, metadata };
}
