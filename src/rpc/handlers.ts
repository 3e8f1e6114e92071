import { randomUUID } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import {
  Metadata,
  type Server,
  type ServiceDefinition,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { isAbortError } from '../base/abort.js';
import { runDetached } from '../base/detached.js';
import type { Logger } from '../base/logger.js';
import { HubError } from '../model/hub-error.js';
import type { Caller } from '../security/caller.js';
import { statusMetadata, type WireStatus } from '../wire/status.js';
import { readMessages, writeMessages } from './bidi.js';
import {
  type BidiHandler,
  type CallContext,
  firstText,
  type Handlers,
  type StreamHandler,
  type UnaryHandler,
} from './call-context.js';
import type { CancellableCall, LiveCall, LiveCalls } from './live-calls.js';

/** A call that has just come in. */
export interface IncomingCall {
  /** Such as `/vmagent.v1.Hub/GetTask`. */
  readonly path: string;
  readonly metadata: Metadata;
  readonly peer: string;
  /** For whom a door of this process makes the call. Never set by a call that came over a connection. */
  readonly caller: Caller | undefined;
}

/** What is called of a call, of grpc-js or within the process. */
interface Served extends CancellableCall {
  readonly metadata: Metadata;
  readonly caller?: Caller | undefined;
  getPeer(): string;
}

/** A call with one answer. */
export interface UnaryServed extends Served {
  readonly request: unknown;
}

/** A call with a stream of answers. Emitting `error` with a status ends it. */
export interface StreamServed extends Served {
  readonly request: unknown;
  readonly cancelled: boolean;
  /** Sends metadata ahead of the answers. */
  sendMetadata(metadata: Metadata): void;
}

/** A call that was answered. */
export interface FinishedCall {
  readonly path: string;
  /** gRPC status code. */
  readonly code: number;
  readonly durationMs: number;
}

/** What stands before every handler of a service. */
export interface Gate<Who> {
  /** Says who calls. @throws HubError NOT_AUTHENTICATED, NOT_ALLOWED. */
  readonly admit: (call: IncomingCall) => Promise<Who>;
  /** Longest time in milliseconds for a unary call whose caller set no deadline. */
  readonly limitMs: (path: string, request: unknown) => number;
  readonly calls: LiveCalls;
  readonly log: Logger;
  readonly observe: (call: FinishedCall) => void;
}

/** Where bound services are put: a server of grpc-js, or the process itself. */
export type ServiceHost = Pick<Server, 'addService'>;

/** Handlers of a service whose definition was loaded and not generated. The definition says which kind each is. */
export type LoadedHandlers<Who> = Readonly<
  Record<string, UnaryHandler<never, unknown, Who> | StreamHandler<never, unknown, Who>>
>;

/** The handlers of a generated service, for `Server.addService`. */
export function bindService<S extends ServiceDefinition, Who>(
  definition: S,
  handlers: Handlers<S, Who>,
  gate: Gate<Who>,
): UntypedServiceImplementation {
  return bindLoaded(definition, handlers as LoadedHandlers<Who>, gate);
}

/** As {@link bindService}, for a definition that was loaded at run time. */
export function bindLoaded<Who>(
  definition: ServiceDefinition,
  handlers: LoadedHandlers<Who>,
  gate: Gate<Who>,
): UntypedServiceImplementation {
  const bound: Record<string, UntypedHandleCall> = {};
  for (const [name, method] of Object.entries(definition)) {
    const handler: unknown = handlers[name];
    if (handler === undefined) throw new Error(`${method.path} has no handler`);
    if (!method.responseStream) bound[name] = unary(method.path, handler as AnyUnary<Who>, gate);
    else if (!method.requestStream) bound[name] = stream(method.path, handler as AnyStream<Who>, gate);
    else bound[name] = bidi(method.path, handler as AnyBidi<Who>, gate);
  }
  return bound;
}

type AnyUnary<Who> = UnaryHandler<unknown, unknown, Who>;
type AnyStream<Who> = StreamHandler<unknown, unknown, Who>;
type AnyBidi<Who> = BidiHandler<unknown, unknown, Who>;

/** Answers a call with one answer. */
export type BoundUnary = (
  call: UnaryServed,
  done: (failure: WireStatus | null, answer?: unknown) => void,
) => void;

/** Answers a call with a stream of answers; the call is read when the method takes a stream. */
export type BoundStream<Call = StreamServed & Readable & Writable> = (call: Call) => void;

function unary<Who>(path: string, handler: AnyUnary<Who>, gate: Gate<Who>): BoundUnary {
  return (call, done) => {
    const limitMs = Number.isFinite(Number(call.getDeadline()))
      ? undefined
      : gate.limitMs(path, call.request);
    const work = async (ctx: CallContext<Who>, live: LiveCall) =>
      done(null, await live.untilGone(handler(ctx, call.request)));
    answer({ gate, path, call, mayFinish: true, limitMs, work, fail: done });
  };
}

function stream<Who>(
  path: string,
  handler: AnyStream<Who>,
  gate: Gate<Who>,
): BoundStream<StreamServed & Writable> {
  return (call) => {
    const work = async (ctx: CallContext<Who>, live: LiveCall) => {
      await writeMessages(call, handler(ctx, call.request), live.gone);
      call.end();
    };
    const tell = (metadata: Metadata) => call.sendMetadata(metadata);
    answer({ gate, path, call, mayFinish: false, tell, work, fail: (status) => endWith(call, status) });
  };
}

function bidi<Who>(
  path: string,
  handler: AnyBidi<Who>,
  gate: Gate<Who>,
): BoundStream<Omit<StreamServed, 'request'> & Readable & Writable> {
  return (call) => {
    const work = async (ctx: CallContext<Who>, live: LiveCall) => {
      await writeMessages(call, handler(ctx, readMessages(call, live.gone)), live.gone);
      call.end();
    };
    answer({ gate, path, call, mayFinish: false, work, fail: (status) => endWith(call, status) });
  };
}

interface Answering<Who> {
  readonly gate: Gate<Who>;
  readonly path: string;
  readonly call: Served;
  readonly mayFinish: boolean;
  readonly limitMs?: number | undefined;
  readonly tell?: (metadata: Metadata) => void;
  /** Answers, or throws before it has. */
  readonly work: (ctx: CallContext<Who>, live: LiveCall) => Promise<void>;
  readonly fail: (status: WireStatus) => void;
}

/** The one way through every call: exactly one status, and nothing that is thrown gets any further. */
function answer<Who>(options: Answering<Who>): void {
  const { gate, path, call, limitMs } = options;
  runDetached(gate.log, path, async () => {
    const begun = performance.now();
    const requestId = requestIdOf(call.metadata);
    const log = gate.log.with({ rpc: path, requestId });
    const live = gate.calls.begin(call, options.mayFinish);
    let code = 0;
    try {
      if (limitMs !== undefined) live.limit(limitMs);
      const peer = call.getPeer();
      const incoming = { path, metadata: call.metadata, peer, caller: call.caller };
      const caller = await live.untilGone(gate.admit(incoming));
      if (live.abortReason !== undefined) throw live.abortReason;
      const { metadata } = call;
      const ctx = {
        caller,
        metadata,
        peer,
        log,
        requestId,
        startsAt: (cursor: string) => options.tell?.(startMetadata(cursor)),
        get signal() {
          return live.signal;
        },
      };
      await options.work(ctx, live);
    } catch (err) {
      const error = HubError.from(isAbortError(err) ? (live.abortReason ?? err) : err);
      const status = statusMetadata(error);
      code = status.code;
      if (error.reason === 'INTERNAL') log.error('a call failed', { error: error.cause ?? error });
      status.metadata.set(REQUEST_ID_KEY, requestId);
      options.fail(status);
    } finally {
      gate.calls.end(live);
      const durationMs = performance.now() - begun;
      log.debug('a call ended', { code, durationMs });
      gate.observe({ path, code, durationMs });
    }
  });
}

/** Response metadata that holds the cursor at which a stream starts. */
const STREAM_CURSOR_KEY = 'stream-cursor';

function startMetadata(cursor: string): Metadata {
  const metadata = new Metadata();
  metadata.set(STREAM_CURSOR_KEY, cursor);
  return metadata;
}

const REQUEST_ID_KEY = 'x-request-id';

/** The caller's own request id when it is short and harmless in a log, else a new one. */
function requestIdOf(metadata: Metadata): string {
  const given = firstText(metadata, REQUEST_ID_KEY);
  return given !== undefined && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID();
}

/** grpc-js takes the status of a stream from its `error` event. What was written before goes out first. */
function endWith(call: Pick<StreamServed, 'cancelled'> & Writable, status: WireStatus): void {
  if (!call.cancelled && !call.destroyed && !call.writableEnded) call.emit('error', status);
}
