import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Metadata } from '@grpc/grpc-js';
import type { Backend, CallOptions } from './backend.js';
import type { ResponseStyle } from './respond.js';

/** A route beside the protos, such as `/metrics`. It follows the same rules of matching. */
export interface ExtraRoute {
  readonly method: string;
  /** Path template, as in `google.api.http`. */
  readonly path: string;
  /** Answers the request. What it throws is answered as an error. */
  readonly handle: (request: ExtraRequest) => void | Promise<void>;
}

/** A request to an {@link ExtraRoute}. */
export interface ExtraRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly params: ReadonlyMap<string, string>;
  /** Without the question mark. */
  readonly query: string;
  /** Metadata for calls that the route makes on behalf of the caller. */
  readonly metadata: () => Metadata;
  readonly backend: Backend;
  /** Options of calls that the route makes on behalf of the caller. */
  readonly options: CallOptions;
  readonly style: ResponseStyle;
}
