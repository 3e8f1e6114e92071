import type { ServerResponse } from 'node:http';
import type { ServiceError } from '@grpc/grpc-js';
import {
  GetTaskRequest,
  GetTaskResponse,
  StreamLogsRequest,
  StreamLogsResponse,
} from '../../gen/vmagent/v1/hub_service.js';
import type { LogRecord } from '../../gen/vmagent/v1/log.js';
import type { Task } from '../../gen/vmagent/v1/task.js';
import { HubError } from '../model/hub-error.js';
import { type ByteRange, parseRange } from './byte-range.js';
import { cancelWithClient, checkClient } from './call-context.js';
import type { ExtraRequest, ExtraRoute } from './extra-route.js';
import { GatewayError } from './gateway-error.js';
import { parseQuery } from './query.js';
import { writeHead } from './respond.js';

type OutputStream = 'STDOUT' | 'STDERR';

/**
 * `GET /tasks/{task}/output?stream=stdout|stderr`: what the task's current attempt wrote, as bytes. Once the task
 * has ended, `Range` with one range is honoured. Bytes that were lost are left out.
 */
export const outputRoute: ExtraRoute = {
  method: 'GET',
  path: '/tasks/{task}/output',
  handle: async (request) => {
    const stream = streamOf(request.query);
    const task = await getTask(request);
    const plan = planAnswer(task, stream, request.req.headers.range);
    if (plan.status !== 200 && plan.range === undefined) {
      writeHead(request.res, plan.status, [...request.style.headers, ...plan.headers]);
      request.res.end();
      return;
    }
    await sendOutput(request, task, stream, plan);
  },
};

interface Plan {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  /** What to send; everything when absent. */
  readonly range: ByteRange | undefined;
}

function streamOf(query: string): OutputStream {
  const stream = parseQuery(query).get('stream')?.[0] ?? 'stdout';
  if (stream === 'stdout') return 'STDOUT';
  if (stream === 'stderr') return 'STDERR';
  throw HubError.invalid({ field: 'stream', description: 'must be stdout or stderr' });
}

function planAnswer(task: Task, stream: OutputStream, rangeHeader: string | undefined): Plan {
  const base = [['Content-Type', 'application/octet-stream']] as const;
  const { outcome } = task;
  // While it runs, or when bytes are missing, the length of what will be sent is not known.
  if (outcome === undefined || outcome.lostBytes > 0) return { status: 200, headers: base, range: undefined };
  const size = stream === 'STDOUT' ? outcome.stdoutBytes : outcome.stderrBytes;
  const accepts = ['Accept-Ranges', 'bytes'] as const;
  const range = parseRange(rangeHeader, size);
  if (range === 'unsatisfiable') {
    return { status: 416, headers: [accepts, ['Content-Range', `bytes */${size}`]], range: undefined };
  }
  const { from, to } = range ?? { from: 0, to: size };
  const headers = [...base, accepts, ['Content-Length', String(to - from)] as const];
  if (range === undefined) return { status: 200, headers, range: { from, to } };
  return { status: 206, headers: [...headers, ['Content-Range', `bytes ${from}-${to - 1}/${size}`]], range };
}

function getTask({ backend, metadata, options, params }: ExtraRequest): Promise<Task> {
  const request = Buffer.from(GetTaskRequest.encode({ task: params.get('task') ?? '' }).finish());
  return new Promise((resolve, reject) => {
    const done = (err: ServiceError | null, bytes?: Buffer) => {
      const task = bytes === undefined ? undefined : GetTaskResponse.decode(bytes).task;
      if (err !== null) reject(GatewayError.fromCall(err, undefined));
      else if (task === undefined) reject(new GatewayError(13, 'the hub answered no task'));
      else resolve(task);
    };
    backend.makeUnaryRequest('/vmagent.v1.Hub/GetTask', request, metadata(), options, done);
  });
}

async function sendOutput(
  request: ExtraRequest,
  task: Task,
  stream: OutputStream,
  plan: Plan,
): Promise<void> {
  const { backend, metadata, options, res, style } = request;
  const encoded = StreamLogsRequest.encode({
    task: task.id,
    agent: '',
    follow: false,
    lines: undefined,
    cursor: '',
    since: undefined,
    format: 'BYTES',
    streams: [stream],
  });
  checkClient(res);
  const call = backend.makeServerStreamRequest(
    '/vmagent.v1.Hub/StreamLogs',
    Buffer.from(encoded.finish()),
    metadata(),
    options,
  );
  cancelWithClient(res, call);
  try {
    for await (const bytes of call) {
      const { record } = StreamLogsResponse.decode(bytes);
      if (record === undefined || record.attempt !== task.attempt) continue;
      if (plan.range !== undefined && record.offset >= plan.range.to) break;
      const piece = cut(record, plan.range);
      if (!res.headersSent) writeHead(res, plan.status, [...style.headers, ...plan.headers]);
      if (piece !== undefined && !res.write(piece)) await drained(res);
      if (res.destroyed) return;
    }
  } catch (err) {
    throw isServiceError(err) ? GatewayError.fromCall(err, undefined) : err;
  } finally {
    // What is behind the range is not wanted.
    call.cancel();
  }
  if (!res.headersSent) writeHead(res, plan.status, [...style.headers, ...plan.headers]);
  res.end();
}

/** The part of a record that is asked for. */
function cut({ data, offset }: LogRecord, range: ByteRange | undefined): Buffer | undefined {
  const { from, to } = range ?? { from: 0, to: Number.MAX_SAFE_INTEGER };
  const piece = Buffer.from(data).subarray(Math.max(0, from - offset), Math.max(0, to - offset));
  return piece.length === 0 ? undefined : piece;
}

function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      res.off('drain', go).off('close', go);
      resolve();
    };
    res.once('drain', go).once('close', go);
  });
}

function isServiceError(err: unknown): err is ServiceError {
  return err instanceof Error && 'metadata' in err && 'details' in err;
}
