import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Metadata } from '@grpc/grpc-js';
import type { Backend, CallOptions } from './backend.js';
import type { Binding } from './bindings.js';
import { GatewayError } from './gateway-error.js';
import type { BuildOptions, RequestParts } from './request.js';
import type { ResponseStyle } from './respond.js';
import type { StreamCursor } from './stream-cursor.js';

/** Everything that one HTTP request to a method needs on its way. */
export interface CallContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly backend: Backend;
  readonly binding: Binding;
  /** How a stream is taken up again; undefined when it cannot be. */
  readonly cursor: StreamCursor | undefined;
  readonly metadata: Metadata;
  readonly options: CallOptions;
  readonly parts: Omit<RequestParts, 'body' | 'formType'>;
  readonly build: BuildOptions;
  readonly style: ResponseStyle;
  readonly bodyLimit: number;
}

/** @throws GatewayError (DEADLINE_EXCEEDED) when there is no time left to call. */
export function checkDeadline({ deadline }: CallOptions): void {
  if (deadline !== undefined && deadline.getTime() <= Date.now()) {
    throw new GatewayError(4, 'context deadline exceeded');
  }
}

/**
 * @throws GatewayError (CANCELLED) when the client has gone away: a call of grpc-js that is cancelled as soon as it is
 * started holds its stream for as long as the connection lives.
 */
export function checkClient(res: ServerResponse): void {
  if (res.destroyed) throw new GatewayError(1, 'the client is gone');
}

/** Cancels a call when the client goes away before it was answered. */
export function cancelWithClient(res: ServerResponse, call: { cancel(): void }): void {
  res.once('close', () => {
    if (!res.writableFinished) call.cancel();
  });
  if (res.destroyed) call.cancel();
}
