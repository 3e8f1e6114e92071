import type { Metadata } from '@grpc/grpc-js';
import type { Logger } from '../base/logger.js';

/** What every handler is told of its call. */
export interface CallContext<Who> {
  /** Aborts with a HubError when the caller is gone, the time is over, or the hub stops. */
  readonly signal: AbortSignal;
  readonly caller: Who;
  readonly metadata: Metadata;
  /** Address of the other end, for logs. */
  readonly peer: string;
  /** Carries the method and the request id. */
  readonly log: Logger;
  readonly requestId: string;
  /**
   * Tells the caller of a stream where it starts, ahead of the first answer: a caller who loses the stream before
   * that can come back to the same place.
   */
  startsAt(cursor: string): void;
}

/** Answers one message with one message. */
export type UnaryHandler<Req, Res, Who> = (ctx: CallContext<Who>, req: Req) => Promise<Res>;

/** Answers one message with many. */
export type StreamHandler<Req, Res, Who> = (ctx: CallContext<Who>, req: Req) => AsyncIterable<Res>;

/** Answers many messages with many. */
export type BidiHandler<Req, Res, Who> = (
  ctx: CallContext<Who>,
  requests: AsyncIterable<Req>,
) => AsyncIterable<Res>;

type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Req } ? Req : never;
type ResponseOf<M> = M extends { responseSerialize: (value: infer Res) => Buffer } ? Res : never;

/** The handler that a method of a generated service definition needs. */
export type HandlerOf<M, Who> = M extends { requestStream: false; responseStream: false }
  ? UnaryHandler<RequestOf<M>, ResponseOf<M>, Who>
  : M extends { requestStream: false; responseStream: true }
    ? StreamHandler<RequestOf<M>, ResponseOf<M>, Who>
    : BidiHandler<RequestOf<M>, ResponseOf<M>, Who>;

/** The handlers that a generated service definition needs, one a method. */
export type Handlers<S, Who> = { readonly [K in keyof S]: HandlerOf<S[K], Who> };

/** The first value of a metadata key as text; undefined when there is none. */
export function firstText(metadata: Metadata, key: string): string | undefined {
  const [value] = metadata.get(key);
  return typeof value === 'string' ? value : undefined;
}
