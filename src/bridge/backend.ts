import type { Readable } from 'node:stream';
import type { Metadata, ServiceError } from '@grpc/grpc-js';
import type { Caller } from '../security/caller.js';

/** What belongs to a call besides its messages. */
export interface CallOptions {
  /** When the call must have ended; never when left out. */
  readonly deadline?: Date | undefined;
  /** For whom the call is made. A backend within the process goes by it; it never travels. */
  readonly caller?: Caller | undefined;
}

/** Told of the one answer of a call, or of its failure. */
export type AnswerListener = (err: ServiceError | null, answer?: Buffer) => void;

/** A call with one answer. It emits `metadata` at most once and `status` exactly once, the status last. */
export interface AnsweredCall {
  once(event: 'metadata' | 'status', listener: (value: Metadata & { metadata: Metadata }) => void): unknown;
  cancel(): void;
}

/** A call that streams its answers: `metadata`, then `data`, then `end`; a `status` in any case. */
export type ReceivingCall = Readable & { cancel(): void };

/** The side of a call that takes messages. */
export interface SendingCall {
  /** False when the receiver is slower: wait for `drain`. */
  write(bytes: Buffer): boolean;
  end(): void;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
  cancel(): void;
}

/**
 * The gRPC server that a bridge calls. It behaves as a client of grpc-js does; messages are bytes, so that no
 * generated code is needed.
 */
export interface Backend {
  makeUnaryRequest(
    path: string,
    request: Buffer,
    metadata: Metadata,
    options: CallOptions,
    done: AnswerListener,
  ): AnsweredCall;
  makeClientStreamRequest(
    path: string,
    metadata: Metadata,
    options: CallOptions,
    done: AnswerListener,
  ): AnsweredCall & SendingCall;
  makeServerStreamRequest(
    path: string,
    request: Buffer,
    metadata: Metadata,
    options: CallOptions,
  ): ReceivingCall;
  makeBidiStreamRequest(path: string, metadata: Metadata, options: CallOptions): ReceivingCall & SendingCall;
  close(): void;
}
