import { Metadata, type MethodDefinition, type StatusObject, status } from '@grpc/grpc-js';
import type { Caller } from '../../security/caller.js';
import type { WireStatus } from '../../wire/status.js';
import type { StreamServed } from '../handlers.js';
import { CallLife, type CallOptions, PEER, statusOf, tooLong } from './call-life.js';
import { MessagePipe } from './message-pipe.js';
import { serviceError } from './unary-call.js';

type Method = MethodDefinition<unknown, unknown>;

/** What the handler of a stream is called with; the metadata belongs to the call from then on. */
export interface OpenParts {
  readonly metadata: Metadata;
  /** The one message of a caller who sends no stream. */
  readonly request?: Buffer | undefined;
}

/**
 * The caller's side of a call with a stream of answers. It is read, and written when the method takes a stream;
 * it emits `metadata` with the first answer, and `status` in any case.
 */
export class StreamCall extends MessagePipe {
  private readonly life: CallLife;
  private begun = false;
  /** Tells how the call ended; waits until what came before has been read. */
  private last: (() => void) | undefined;

  /** @param method undefined for a call that will be refused. */
  constructor(
    private readonly options: CallOptions,
    method: Method | undefined,
  ) {
    const writable = method?.requestStream === true;
    super({ readable: true, writable }, (bytes) => decode(method, bytes as Buffer));
    this.life = new CallLife(options, (end) => this.deliver(end));
  }

  /** The handler's side, joined to this one. Nothing is told before the handler had its turn. */
  open(method: Method, { metadata, request }: OpenParts): ServedStream | undefined {
    try {
      const message = request === undefined ? undefined : decode(method, request);
      const served = new ServedStream(method, this.life, {
        metadata,
        request: message,
        caller: this.options.caller,
      });
      MessagePipe.join(this, served);
      served.tell = (sent) => this.begin(sent);
      return served;
    } catch (err) {
      this.refuse(failureOf(err));
      return undefined;
    }
  }

  /** Ends the call before it was handed to anybody. */
  refuse(status: StatusObject): this {
    this.life.abandon(status);
    return this;
  }

  /** Nothing more is read, so that the status comes at once. */
  cancel(): void {
    this.life.cancel();
    if (this.last !== undefined) queueMicrotask(this.last);
  }

  protected get isOver(): boolean {
    return this.life.isOver;
  }

  protected override receive(message: unknown, taken: () => void): void {
    this.begin(new Metadata());
    super.receive(message, taken);
  }

  protected finished(): void {
    this.endOther();
  }

  protected broken(err: unknown): void {
    this.life.abandon(failureOf(err));
  }

  /** A reader that leaves early wants no more. */
  override _destroy(err: Error | null, done: (err: Error | null) => void): void {
    this.cancel();
    done(err);
  }

  private begin(metadata: Metadata): void {
    if (this.begun || this.life.isOver) return;
    this.begun = true;
    this.emit('metadata', metadata);
  }

  private deliver(end: StatusObject): void {
    const tell = () => {
      if (this.last !== tell) return;
      this.last = undefined;
      if (end.code !== status.OK && !this.destroyed) this.emit('error', serviceError(end));
      this.emit('status', end);
    };
    this.last = tell;
    this.endReading();
    if (this.life.isAbandoned || this.destroyed) tell();
    // Ahead of those who take the end for a good one, such as a loop over the answers.
    else this.prependOnceListener('end', tell);
  }
}

/** What a handler of a streaming method is called with. */
export class ServedStream extends MessagePipe implements StreamServed {
  cancelled = false;
  /** Hands the metadata to the caller. */
  tell: (metadata: Metadata) => void = () => {};
  readonly metadata: Metadata;
  readonly request: unknown;
  readonly caller: Caller | undefined;
  private last: StatusObject = statusOf(status.OK, 'OK');

  constructor(
    method: Method,
    private readonly life: CallLife,
    call: Pick<StreamServed, 'metadata' | 'request' | 'caller'>,
  ) {
    super({ readable: method.requestStream, writable: true }, (message) => encode(method, message));
    this.metadata = call.metadata;
    this.request = call.request;
    this.caller = call.caller;
    // As on a call of grpc-js: an error is the status, sent behind what was written before.
    this.on('error', (failure: WireStatus) => {
      this.last = failure;
      this.end();
    });
    life.onCancelled(() => {
      this.cancelled = true;
      this.emit('cancelled');
    });
  }

  sendMetadata(metadata: Metadata): void {
    this.tell(metadata);
  }

  getPeer(): string {
    return PEER;
  }

  getDeadline(): Date | number {
    return this.life.getDeadline();
  }

  protected get isOver(): boolean {
    return this.life.isOver;
  }

  protected finished(): void {
    this.life.end(this.last);
  }

  protected broken(err: unknown): void {
    this.life.abandon(failureOf(err));
  }
}

/** A message that cannot be handed over, as the status that the call ends with. */
class Unsendable extends Error {
  constructor(readonly status: StatusObject) {
    super(status.details);
  }
}

function failureOf(err: unknown): StatusObject {
  return err instanceof Unsendable
    ? err.status
    : statusOf(status.INTERNAL, `Error serializing: ${String(err)}`);
}

function decode(method: Method | undefined, bytes: Buffer): unknown {
  return method?.requestDeserialize(checked(bytes));
}

function encode(method: Method, message: unknown): Buffer {
  return checked(method.responseSerialize(message));
}

function checked(bytes: Buffer): Buffer {
  const refusal = tooLong(bytes);
  if (refusal !== undefined) throw new Unsendable(refusal);
  return bytes;
}
