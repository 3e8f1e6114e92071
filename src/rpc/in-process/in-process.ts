import {
  type Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type StatusObject,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { BoundStream, BoundUnary } from '../handlers.js';
import { LiveCalls } from '../live-calls.js';
import { type CallOptions, statusOf } from './call-life.js';
import { type OpenParts, StreamCall } from './stream-call.js';
import { type AnswerListener, UnaryCall } from './unary-call.js';

interface Bound {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly handler: unknown;
}

/**
 * Calls services of this process as a client of grpc-js would call them over a connection: through the same gate
 * and the same handlers, with statuses, deadlines, cancelling, limits of size and backpressure, but without the
 * connection. Messages of the caller are bytes.
 *
 * Invariants: nothing is told to a caller before its call returned; each call has exactly one status.
 */
export class InProcess {
  /** The calls that are being answered; services are bound to it. */
  readonly calls = new LiveCalls();
  private readonly methods = new Map<string, Bound>();

  /** Adds a service as `Server.addService` does. */
  addService(definition: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    for (const [name, method] of Object.entries(definition))
      this.methods.set(method.path, { method, handler: implementation[name] });
  }

  makeUnaryRequest(
    path: string,
    request: Buffer,
    metadata: Metadata,
    options: CallOptions,
    done: AnswerListener,
  ): UnaryCall {
    const call = new UnaryCall(options, done);
    const bound = this.find(path, UNARY);
    if (bound === undefined) return call.refuse(unimplemented(path));
    return call.start({ method: bound.method, handler: bound.handler as BoundUnary, request, metadata });
  }

  makeServerStreamRequest(
    path: string,
    request: Buffer,
    metadata: Metadata,
    options: CallOptions,
  ): StreamCall {
    return this.openStream(path, SERVER_STREAM, { metadata, options, request });
  }

  makeBidiStreamRequest(path: string, metadata: Metadata, options: CallOptions): StreamCall {
    return this.openStream(path, BIDI, { metadata, options });
  }

  /** No service of ours takes a stream and answers once: refused, as grpc-js refuses what it does not know. */
  makeClientStreamRequest(
    path: string,
    _metadata: Metadata,
    options: CallOptions,
    done: AnswerListener,
  ): UnaryCall & { write(): boolean; end(): void } {
    const call = new UnaryCall(options, done).refuse(unimplemented(path));
    return Object.assign(call, { write: () => true, end: () => {} });
  }

  /** Calls that come are refused, streams end as UNAVAILABLE, single answers may still come. */
  close(): void {
    this.calls.stop();
  }

  private openStream(
    path: string,
    kind: StreamKind,
    { options, ...parts }: OpenParts & { readonly options: CallOptions },
  ): StreamCall {
    const bound = this.find(path, kind);
    const call = new StreamCall(options, bound?.method);
    if (bound === undefined) return call.refuse(unimplemented(path));
    const served = call.open(bound.method, parts);
    if (served !== undefined) (bound.handler as BoundStream)(served);
    return call;
  }

  private find(path: string, kind: StreamKind): Bound | undefined {
    const bound = this.methods.get(path);
    const { requestStream, responseStream } = bound?.method ?? {};
    return requestStream === kind.requestStream && responseStream === kind.responseStream ? bound : undefined;
  }
}

type StreamKind = Pick<MethodDefinition<unknown, unknown>, 'requestStream' | 'responseStream'>;

const UNARY: StreamKind = { requestStream: false, responseStream: false };
const SERVER_STREAM: StreamKind = { requestStream: false, responseStream: true };
const BIDI: StreamKind = { requestStream: true, responseStream: true };

function unimplemented(path: string): StatusObject {
  return statusOf(status.UNIMPLEMENTED, `The server does not implement the method ${path}`);
}
