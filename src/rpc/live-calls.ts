import { HubError } from '../model/hub-error.js';

/** The parts of a grpc-js call that its life depends on. */
export interface CancellableCall {
  getDeadline(): Date | number;
  once(event: 'cancelled', listener: () => void): unknown;
}

const ENDED = new HubError('CANCELLED', 'the call has ended');

/** One call that is being answered. */
export class LiveCall {
  /** Made when a stream asks for it. */
  private peer: AbortController | undefined;
  private leave: ((reason: HubError) => void) | undefined;
  private goneReason: HubError | undefined;
  /** Made when a handler asks for it: most answer at once. */
  private work: AbortController | undefined;
  private reason: HubError | undefined;
  private timer: NodeJS.Timeout | undefined;
  private answered = false;

  constructor(
    call: CancellableCall,
    /** Whether an answer still counts when the hub stops; streams are ended instead. */
    private readonly mayFinish: boolean,
  ) {
    // grpc-js says so after every call, also when it was answered.
    call.once('cancelled', () => {
      if (!this.answered) this.abandon(reasonOfCancel(call.getDeadline()));
    });
  }

  /** For handlers: aborts on cancel, deadline and hub stop. */
  get signal(): AbortSignal {
    if (this.work === undefined) {
      this.work = new AbortController();
      if (this.reason !== undefined) this.work.abort(this.reason);
    }
    return this.work.signal;
  }

  /** Why the handler is to end; undefined while it may go on. */
  get abortReason(): HubError | undefined {
    return this.reason;
  }

  /** Aborts when nothing that the handler still does can be answered. */
  get gone(): AbortSignal {
    if (this.peer === undefined) {
      this.peer = new AbortController();
      if (this.goneReason !== undefined) this.peer.abort(this.goneReason);
    }
    return this.peer.signal;
  }

  /**
   * Waits for one thing at a time, as long as what is waited for can still be answered. It spares most calls a
   * signal, whose making costs more than all else of a call's life.
   *
   * @throws what `promise` rejects with, or why the call is gone.
   */
  untilGone<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.leave = reject;
      promise.then(resolve, reject);
      if (this.goneReason !== undefined) reject(this.goneReason);
    });
  }

  /** Ends the call after so many milliseconds. */
  limit(ms: number): void {
    const seconds = Math.round(ms / 1000);
    const late = () => this.abandon(new HubError('DEADLINE_EXCEEDED', `not done within ${seconds} s`));
    this.timer = setTimeout(late, ms);
    this.timer.unref();
  }

  /** Tells the handler that the hub stops. */
  stop(reason: HubError): void {
    this.abort(reason);
    if (!this.mayFinish) this.depart(reason);
  }

  /** The call was answered. What a stream's handler left behind, such as a reader of messages, is let go. */
  end(): void {
    this.answered = true;
    clearTimeout(this.timer);
    if (!this.mayFinish) this.abandon(ENDED);
  }

  private abandon(reason: HubError): void {
    clearTimeout(this.timer);
    this.abort(reason);
    this.depart(reason);
  }

  private depart(reason: HubError): void {
    this.goneReason ??= reason;
    this.leave?.(this.goneReason);
    this.peer?.abort(this.goneReason);
  }

  private abort(reason: HubError): void {
    this.reason ??= reason;
    this.work?.abort(reason);
  }
}

/** All calls of one door that are being answered. */
export class LiveCalls {
  private readonly calls = new Set<LiveCall>();
  private stopReason: HubError | undefined;

  /** How many are being answered. */
  get size(): number {
    return this.calls.size;
  }

  /** A call began. After `stop` it is told at once. */
  begin(call: CancellableCall, mayFinish: boolean): LiveCall {
    const live = new LiveCall(call, mayFinish);
    this.calls.add(live);
    if (this.stopReason !== undefined) live.stop(this.stopReason);
    return live;
  }

  /** A call was answered. */
  end(live: LiveCall): void {
    live.end();
    this.calls.delete(live);
  }

  /** Tells all calls, also those that come, that the hub stops. */
  stop(): void {
    this.stopReason ??= new HubError('HUB_STOPPING', 'the hub stops; try again', { retryAfterMs: 1000 });
    for (const live of this.calls) live.stop(this.stopReason);
  }
}

/** grpc-js tells of a passed deadline as of a cancel. */
function reasonOfCancel(deadline: Date | number): HubError {
  if (Date.now() >= Number(deadline)) return new HubError('DEADLINE_EXCEEDED', 'the deadline has passed');
  return new HubError('CANCELLED', 'the caller is gone');
}
