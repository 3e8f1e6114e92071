import type { Metadata, ServiceError, StatusObject } from '@grpc/grpc-js';
import type { ReceivingCall } from './backend.js';
import { type CallContext, callOptions, cancelWithClient } from './call-context.js';
import { GatewayError } from './gateway-error.js';
import { buildRequest } from './request.js';
import { createStreamWriter } from './stream-writer.js';
import { readParts } from './unary.js';

/** Answers a request to a server-streaming method. @throws GatewayError before the stream is opened. */
export async function handleServerStream(ctx: CallContext): Promise<void> {
  const request = buildRequest(ctx.binding, { ...ctx.parts, ...(await readParts(ctx)) }, ctx.build);
  const { backend, binding, metadata } = ctx;
  const call = backend.makeServerStreamRequest(binding.grpcPath, request, metadata, callOptions(ctx));
  await pipeStream(ctx, call);
}

/** Writes what a call streams until it has ended. Never rejects: errors become the last line. */
export function pipeStream(ctx: CallContext, call: ReceivingCall): Promise<void> {
  const writer = createStreamWriter(ctx);
  let metadata: Metadata | undefined;
  let status: StatusObject | undefined;
  let ended = false;
  cancelWithClient(ctx.res, call);
  return new Promise((resolve) => {
    // The status may come while messages still wait in the stream: the answer ends behind both.
    const finish = () => {
      if (status === undefined || !ended) return;
      if (!ctx.res.destroyed) writer.end(failureOf(status, metadata));
      resolve();
    };
    call.on('metadata', (received: Metadata) => {
      metadata = received;
    });
    call.on('data', (bytes: Buffer) => {
      if (ctx.res.destroyed || writer.message(bytes, metadata)) return;
      call.pause();
      ctx.res.once('drain', () => call.resume());
    });
    call.on('end', () => {
      ended = true;
      finish();
    });
    call.on('error', () => {});
    call.on('status', (received: StatusObject) => {
      status = received;
      if (ctx.res.destroyed) call.resume();
      finish();
    });
  });
}

function failureOf(status: StatusObject, metadata: Metadata | undefined): GatewayError | undefined {
  if (status.code === 0) return undefined;
  const err: ServiceError = Object.assign(new Error(status.details), status);
  return GatewayError.fromCall(err, metadata);
}
