import type { WebSocket } from 'ws';
import type { SendingCall } from './backend.js';
import type { CallContext } from './call-context.js';
import { encodeValue } from './client-stream.js';
import { GatewayError } from './gateway-error.js';
import { buildRequest } from './request.js';
import { drained, pipeStream } from './server-stream.js';
import { SocketReader } from './socket-reader.js';
import { SocketWriter } from './socket-writer.js';

/** What a call over a WebSocket needs: all but an answer to write to. */
export type SocketContext = Omit<CallContext, 'res'>;

/** Runs one streaming call over a WebSocket, to its end. Never rejects: failures are told to the client. */
export async function runSocketCall(ctx: SocketContext, socket: WebSocket): Promise<void> {
  const { binding, style } = ctx;
  const writer = new SocketWriter(socket, binding, style);
  const reader = new SocketReader(socket);
  try {
    await RUN[binding.method.methodKind](ctx, reader, writer);
  } catch (err) {
    if (!writer.gone) writer.end(GatewayError.from(err));
  }
}

type Run = (ctx: SocketContext, reader: SocketReader, writer: SocketWriter) => Promise<void>;

const RUN: Readonly<Record<CallContext['binding']['method']['methodKind'], Run>> = {
  unary: async () => {
    throw new GatewayError(12, 'this route is no stream');
  },
  server_streaming: runServerStream,
  client_streaming: runClientStream,
  bidi_streaming: runBidi,
};

/** The request is in the address, or, when the route has a body, the first frame. */
async function runServerStream(ctx: SocketContext, reader: SocketReader, writer: SocketWriter) {
  const { backend, binding, metadata, parts, build } = ctx;
  const frame = binding.body.kind === 'none' ? '' : await firstFrame(reader);
  reader.ignoreRest();
  if (writer.gone) return;
  const request = buildRequest(binding, { ...parts, body: Buffer.from(frame), formType: undefined }, build);
  await pipeStream(writer, backend.makeServerStreamRequest(binding.grpcPath, request, metadata, ctx.options));
}

/** @throws GatewayError (DEADLINE_EXCEEDED) when the client says nothing. */
async function firstFrame(reader: SocketReader): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const seconds = FIRST_FRAME_MS / 1000;
    const err = new GatewayError(4, `no request came within ${seconds} s: send it as the first frame`);
    timer = setTimeout(() => reject(err), FIRST_FRAME_MS);
  });
  try {
    return (await Promise.race([reader.next(), late])) ?? '';
  } finally {
    clearTimeout(timer);
  }
}

/** How long a route with a body waits for it. */
const FIRST_FRAME_MS = 30_000;

async function runBidi(ctx: SocketContext, reader: SocketReader, writer: SocketWriter) {
  const call = ctx.backend.makeBidiStreamRequest(ctx.binding.grpcPath, ctx.metadata, ctx.options);
  const sending = send(ctx, reader, call).catch((err: unknown) => {
    if (!writer.gone) writer.end(GatewayError.from(err));
    call.cancel();
  });
  await pipeStream(writer, call);
  reader.ignoreRest();
  await sending;
}

async function runClientStream(ctx: SocketContext, reader: SocketReader, writer: SocketWriter) {
  const { backend, binding, metadata } = ctx;
  const answer = await new Promise<Buffer | undefined>((resolve, reject) => {
    const call = backend.makeClientStreamRequest(binding.grpcPath, metadata, ctx.options, (err, bytes) => {
      if (err === null) resolve(bytes);
      else reject(GatewayError.fromCall(err, undefined));
    });
    writer.onceGone(() => call.cancel());
    send(ctx, reader, call).catch((err: unknown) => {
      reject(err);
      call.cancel();
    });
  });
  reader.ignoreRest();
  if (writer.gone) return;
  writer.message(answer ?? Buffer.alloc(0));
  writer.end(undefined);
}

async function send(ctx: SocketContext, reader: SocketReader, call: SendingCall): Promise<void> {
  for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
    if (!call.write(encodeValue(ctx, frame))) await drained(call);
  }
  call.end();
}
