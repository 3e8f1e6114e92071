import { type DescField, type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { Metadata } from '@grpc/grpc-js';
import { messageOf } from '../base/errno.js';
import type { AnsweredCall, AnswerListener } from './backend.js';
import { readBody } from './body.js';
import { type CallContext, cancelWithClient, checkClient, checkDeadline } from './call-context.js';
import { GatewayError } from './gateway-error.js';
import { messageToJson } from './json-output.js';
import { fieldToJson } from './json-plain-output.js';
import type { JsonEscaping } from './json-text.js';
import { metadataHeaders, trailerHeaders } from './metadata-out.js';
import { buildRequest, type RequestParts } from './request.js';
import { respond } from './respond.js';

/** What a unary call came back with. */
export interface UnaryResult {
  readonly bytes: Buffer;
  readonly metadata: Metadata | undefined;
  readonly trailers: Metadata | undefined;
}

/** Answers a request to a unary method. @throws GatewayError. */
export async function handleUnary(ctx: CallContext): Promise<void> {
  const request = buildRequest(ctx.binding, { ...ctx.parts, ...(await readParts(ctx)) }, ctx.build);
  const { backend, binding, metadata } = ctx;
  checkDeadline(ctx.options);
  checkClient(ctx.res);
  const result = await settleUnary(ctx, (done) =>
    backend.makeUnaryRequest(binding.grpcPath, request, metadata, ctx.options, done),
  );
  answerUnary(ctx, result);
}

/** Reads the body of a request that is decoded as a whole. */
export async function readParts(ctx: CallContext): Promise<Pick<RequestParts, 'body' | 'formType'>> {
  const mayBeForm = ['POST', 'PUT', 'PATCH'].includes(ctx.req.method ?? '');
  const formType = mayBeForm ? (ctx.req.headers['content-type'] ?? '') : undefined;
  return { body: await readBody(ctx.req, ctx.bodyLimit), formType };
}

/** Starts a call with one answer and waits for it. @throws GatewayError. */
export function settleUnary(
  ctx: CallContext,
  start: (done: AnswerListener) => AnsweredCall,
): Promise<UnaryResult> {
  return new Promise((resolve, reject) => {
    let metadata: Metadata | undefined;
    let answer: Buffer | undefined;
    const call = start((err, value) => {
      if (err === null) answer = value;
      else reject(GatewayError.fromCall(err, metadata));
    });
    call.once('metadata', (received) => {
      metadata = received;
    });
    // The trailers come after the answer, with the status.
    call.once('status', (status) => {
      if (answer !== undefined) resolve({ bytes: answer, metadata, trailers: status.metadata });
    });
    cancelWithClient(ctx.res, call);
  });
}

/** Writes the answer of a method with one response message. */
export function answerUnary(ctx: CallContext, { bytes, metadata, trailers }: UnaryResult): void {
  const { method, responseBody } = ctx.binding;
  const message = decodeMessage(method.output, bytes);
  respond(ctx.req, ctx.res, ctx.style, {
    status: 200,
    headers: metadataHeaders(metadata, ctx.style.transportHeaders),
    trailers: trailerHeaders(trailers),
    ...rendered(ctx, message, responseBody, 'proto'),
  });
}

/** A response message, or one field of it, as it is written: JSON, or the bytes of a google.api.HttpBody. */
export function rendered(
  ctx: Pick<CallContext, 'style'>,
  message: ReflectMessage,
  field: DescField | undefined,
  escaping: JsonEscaping,
): { contentType: string; body: string | Uint8Array; isRaw: boolean } {
  if (field === undefined && message.desc.typeName === 'google.api.HttpBody') {
    const [contentType, data] = message.desc.fields.map((part) => message.get(part));
    return { contentType: String(contentType), body: data as Uint8Array, isRaw: true };
  }
  const emitter = { registry: ctx.style.registry, escaping };
  const body = field === undefined ? messageToJson(emitter, message) : fieldToJson(emitter, message, field);
  return { contentType: 'application/json', body, isRaw: false };
}

/** How deep an answer may be nested. */
const MOST_NESTED = 2000;

/** Decodes a response message. @throws GatewayError (INTERNAL) for bytes that are none. */
export function decodeMessage(desc: DescMessage, bytes: Buffer): ReflectMessage {
  try {
    return reflect(desc, fromBinary(desc, bytes, { recursionLimit: MOST_NESTED }), false);
  } catch (err) {
    const why = `grpc: failed to unmarshal the received message: ${messageOf(err)}`;
    throw new GatewayError(13, why, { cause: err });
  }
}
