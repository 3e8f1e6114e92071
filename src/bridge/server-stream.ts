import type { Metadata, ServiceError, StatusObject } from '@grpc/grpc-js';
import type { ReceivingCall, SendingCall } from './backend.js';
import { type CallContext, checkClient, checkDeadline } from './call-context.js';
import { EventWriter, endOver } from './event-writer.js';
import { GatewayError } from './gateway-error.js';
import { buildRequest } from './request.js';
import { type Resume, resumed, resumeOf, wantsEvents } from './resume.js';
import { LineWriter, type StreamWriter } from './stream-writer.js';
import { readParts } from './unary.js';

/** Answers a request to a server-streaming method. @throws GatewayError before the stream is opened. */
export async function handleServerStream(ctx: CallContext): Promise<void> {
  const resume = resumeOf(ctx);
  const body = await readParts(ctx);
  if (resume.kind === 'over') {
    endOver(ctx);
    return;
  }
  const { binding, parts } = resumed(ctx, resume);
  const request = buildRequest(binding, { ...parts, ...body }, ctx.build);
  const { backend, metadata } = ctx;
  checkDeadline(ctx.options);
  checkClient(ctx.res);
  const call = backend.makeServerStreamRequest(binding.grpcPath, request, metadata, ctx.options);
  await pipeStream(createStreamWriter(ctx, resume), call);
}

/** The writer that the client asked for: server-sent events by `Accept: text/event-stream`, else JSON lines. */
export function createStreamWriter(ctx: CallContext, resume: Resume = { kind: 'begin' }): StreamWriter {
  return wantsEvents(ctx.req) ? new EventWriter(ctx, resume) : new LineWriter(ctx);
}

/** Writes what a call streams until it has ended. Never rejects: errors become the last line. */
export function pipeStream(writer: StreamWriter, call: ReceivingCall): Promise<void> {
  let metadata: Metadata | undefined;
  let status: StatusObject | undefined;
  let failure: GatewayError | undefined;
  let ended = false;
  writer.onceGone(() => call.cancel());
  return new Promise((resolve) => {
    // The status may come while messages still wait in the stream: the answer ends behind both.
    const finish = () => {
      if (status === undefined || !ended) return;
      if (!writer.gone) writer.end(failure ?? failureOf(status, metadata));
      resolve();
    };
    const write = (bytes: Buffer) => {
      if (writer.gone || failure !== undefined || writer.message(bytes)) return;
      call.pause();
      writer.onceDrained(() => call.resume());
    };
    call.on('metadata', (received: Metadata) => {
      metadata = received;
      writer.begin(received);
    });
    call.on('data', (bytes: Buffer) => {
      try {
        write(bytes);
      } catch (err) {
        // A message that has no JSON form ends the stream with the reason.
        failure = GatewayError.from(err);
        call.cancel();
      }
    });
    call.on('end', () => {
      ended = true;
      finish();
    });
    call.on('error', () => {});
    call.on('status', (received: StatusObject) => {
      status = received;
      if (writer.gone) call.resume();
      finish();
    });
  });
}

/** Waits until the call takes more, or is over. */
export function drained(call: SendingCall): Promise<void> {
  const events = ['drain', 'close', 'error', 'status'];
  return new Promise((resolve) => {
    const go = () => {
      for (const event of events) call.off(event, go);
      resolve();
    };
    for (const event of events) call.once(event, go);
  });
}

function failureOf(status: StatusObject, metadata: Metadata | undefined): GatewayError | undefined {
  if (status.code === 0) return undefined;
  const err: ServiceError = Object.assign(new Error(status.details), status);
  return GatewayError.fromCall(err, metadata);
}
