import type { SendingCall } from './backend.js';
import { bodyChunks } from './body.js';
import { type CallContext, checkDeadline } from './call-context.js';
import { allowLongBody } from './client-errors.js';
import { GatewayError } from './gateway-error.js';
import { JsonSplitter } from './json-splitter.js';
import { encodeJson } from './request.js';
import { createStreamWriter, drained, pipeStream } from './server-stream.js';
import { answerUnary, settleUnary } from './unary.js';

/** Answers a request to a client-streaming method: the body is a run of JSON values. @throws GatewayError. */
export async function handleClientStream(ctx: CallContext): Promise<void> {
  let failure: unknown;
  checkDeadline(ctx.options);
  const result = settleUnary(ctx, (done) => {
    const { backend, binding, metadata } = ctx;
    const call = backend.makeClientStreamRequest(binding.grpcPath, metadata, ctx.options, done);
    void sendBody(ctx, call).catch((err: unknown) => {
      failure = err;
      call.cancel();
    });
    return call;
  });
  try {
    answerUnary(ctx, await result);
  } catch (err) {
    throw failure ?? err;
  }
}

/**
 * Answers a request to a bidirectional method: values are sent as they come, results streamed meanwhile. A bad
 * value ends the sending and nothing else, as in grpc-gateway.
 */
export async function handleBidi(ctx: CallContext): Promise<void> {
  checkDeadline(ctx.options);
  const { backend, binding, metadata } = ctx;
  const call = backend.makeBidiStreamRequest(binding.grpcPath, metadata, ctx.options);
  void sendBody(ctx, call).catch(() => call.end());
  await pipeStream(createStreamWriter(ctx), call);
}

async function sendBody(ctx: CallContext, call: SendingCall): Promise<void> {
  for await (const bytes of messages(ctx)) if (!call.write(bytes)) await drained(call);
  call.end();
}

async function* messages(ctx: CallContext): AsyncGenerator<Buffer> {
  allowLongBody(ctx.req);
  const splitter = new JsonSplitter();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const text = (bytes?: Buffer): string => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw GatewayError.badRequest('the body is not valid UTF-8');
    }
  };
  for await (const chunk of bodyChunks(ctx.req, ctx.bodyLimit)) {
    for (const part of splitter.push(text(chunk))) yield encodeValue(ctx, part);
  }
  for (const part of [...splitter.push(text()), splitter.rest()]) {
    if (part.trim() !== '') yield encodeValue(ctx, part);
  }
}

/** One JSON value of a client stream as its message. @throws GatewayError (INVALID_ARGUMENT). */
export function encodeValue(ctx: Pick<CallContext, 'binding' | 'build'>, part: string): Buffer {
  return encodeJson(ctx.binding, part, ctx.build);
}
