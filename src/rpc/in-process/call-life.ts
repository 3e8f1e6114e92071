import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import type { Caller } from '../../security/caller.js';

/** What belongs to a call within the process besides its messages. */
export interface CallOptions {
  /** When the call must have ended; never when left out. */
  readonly deadline?: Date | undefined;
  /** For whom the call is made, checked by the door that makes it; nobody when left out. */
  readonly caller?: Caller | undefined;
}

/** Longest message in each direction, as on a gRPC connection. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** What a call within the process says in place of an address. */
export const PEER = 'in-process';

/** Timers hold no more; a deadline beyond counts as none. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Ends a call exactly once: by the answer, by its caller, or by its deadline. */
export class CallLife {
  private over = false;
  private abandoned = false;
  private readonly timer: NodeJS.Timeout | undefined;
  private readonly cancelled: (() => void)[] = [];

  /** @param deliver told of the status that the caller sees. */
  constructor(
    private readonly options: CallOptions,
    private readonly deliver: (status: StatusObject, answer?: Buffer) => void,
  ) {
    const ms = Number(options.deadline ?? Number.POSITIVE_INFINITY) - Date.now();
    if (ms > MAX_TIMER_MS) return;
    const late = () => this.abandon(statusOf(status.DEADLINE_EXCEEDED, 'context deadline exceeded'));
    // A timer may ring a millisecond early by the other clock, and then the deadline has not passed.
    this.timer = setTimeout(late, Math.max(0, ms) + 1);
  }

  /** Whether nothing more can be answered. */
  get isOver(): boolean {
    return this.over;
  }

  /** Whether it is over without its handler. */
  get isAbandoned(): boolean {
    return this.abandoned;
  }

  /** Infinity for none, as grpc-js says it. */
  getDeadline(): Date | number {
    return this.options.deadline ?? Number.POSITIVE_INFINITY;
  }

  /** The handler answered. */
  end(status: StatusObject, answer?: Buffer): void {
    if (this.over) return;
    this.close();
    this.deliver(status, answer);
  }

  /** The call ends without its handler, which is told at once; the caller is told when this has returned. */
  abandon(status: StatusObject): void {
    if (this.over) return;
    this.abandoned = true;
    this.close();
    queueMicrotask(() => this.deliver(status));
    for (const tell of this.cancelled) tell();
  }

  /** The caller takes no answer any more. */
  readonly cancel = (): void => this.abandon(statusOf(status.CANCELLED, 'Cancelled on client'));

  /** Calls `listener` when the call ends without its handler. */
  onCancelled(listener: () => void): void {
    this.cancelled.push(listener);
  }

  private close(): void {
    this.over = true;
    clearTimeout(this.timer);
  }
}

/** A status without trailers. */
export function statusOf(code: status, details: string): StatusObject {
  return { code, details, metadata: new Metadata() };
}

/** How a call ends whose message is longer than {@link MAX_MESSAGE_BYTES}; undefined for one that is not. */
export function tooLong({ length }: Buffer): StatusObject | undefined {
  if (length <= MAX_MESSAGE_BYTES) return undefined;
  const details = `Received message larger than max (${length} vs ${MAX_MESSAGE_BYTES})`;
  return statusOf(status.RESOURCE_EXHAUSTED, details);
}
