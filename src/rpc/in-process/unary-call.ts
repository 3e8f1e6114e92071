import { EventEmitter } from 'node:events';
import { Metadata, type MethodDefinition, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import type { BoundUnary } from '../handlers.js';
import { CallLife, type CallOptions, PEER, statusOf, tooLong } from './call-life.js';

/** Told of the one answer of a call, or of its failure. */
export type AnswerListener = (err: ServiceError | null, answer?: Buffer) => void;

/** A method with one answer, and what is asked of it. */
export interface UnaryRequest {
  readonly method: MethodDefinition<unknown, unknown>;
  readonly handler: BoundUnary;
  readonly request: Buffer;
  /** Belongs to the call from now on. */
  readonly metadata: Metadata;
}

/** The caller's side of a call with one answer: emits `metadata` when it was answered, then `status`. */
export class UnaryCall extends EventEmitter {
  private readonly life: CallLife;

  constructor(
    options: CallOptions,
    private readonly done: AnswerListener,
  ) {
    super();
    this.life = new CallLife(options, (status, answer) => this.finish(status, answer));
    this.caller = options.caller;
  }

  private readonly caller: CallOptions['caller'];

  /** Hands the request to its handler. Nothing is told before this returns. */
  start({ method, handler, request, metadata }: UnaryRequest): this {
    const message = this.read(method, request);
    if (message === undefined) return this;
    const { life, caller } = this;
    const served = {
      request: message.value,
      metadata,
      caller,
      getPeer: () => PEER,
      getDeadline: () => life.getDeadline(),
      once: (_event: 'cancelled', listener: () => void) => life.onCancelled(listener),
    };
    handler(served, (failure, answer) => {
      if (failure !== null) life.end(failure);
      else if (!life.isOver) this.answer(method.responseSerialize(answer));
    });
    return this;
  }

  /** Ends the call before it was handed to anybody. */
  refuse(status: StatusObject): this {
    this.life.abandon(status);
    return this;
  }

  cancel(): void {
    this.life.cancel();
  }

  private read(method: UnaryRequest['method'], request: Buffer): { readonly value: unknown } | undefined {
    const refusal = tooLong(request);
    try {
      if (refusal === undefined) return { value: method.requestDeserialize(request) };
      this.refuse(refusal);
    } catch (err) {
      this.refuse(statusOf(status.INTERNAL, `Error deserializing request: ${String(err)}`));
    }
    return undefined;
  }

  private answer(bytes: Buffer): void {
    const refusal = tooLong(bytes);
    if (refusal === undefined) this.life.end(statusOf(status.OK, 'OK'), bytes);
    else this.life.end(refusal);
  }

  private finish(status: StatusObject, answer: Buffer | undefined): void {
    if (answer !== undefined) this.emit('metadata', new Metadata());
    if (answer !== undefined) this.done(null, answer);
    else this.done(serviceError(status));
    this.emit('status', status);
  }
}

/** A status that is not OK, as grpc-js hands it to callers. */
export function serviceError(given: StatusObject): ServiceError {
  return Object.assign(new Error(`${given.code} ${status[given.code]}: ${given.details}`), given);
}
