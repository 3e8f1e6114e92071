import type { ClientDuplexStream, ServiceError, StatusObject } from '@grpc/grpc-js';
import { deferred } from '../../base/deferred.js';

/** How a stream ended: undefined when the hub closed it without an error. */
export type StreamEnd = ServiceError | StatusObject | undefined;

/**
 * One bidirectional stream. Writes wait while the hub does not read; what a listener throws ends this stream and
 * nothing else.
 */
export class Duplex<Req, Res> {
  private readonly over = deferred<StreamEnd>();
  private ended = false;
  private drained: Promise<void> | undefined;

  constructor(
    private readonly call: ClientDuplexStream<Req, Res>,
    onMessage: (message: Res) => void,
  ) {
    call.on('data', (message: Res) => this.guarded(() => onMessage(message)));
    call.on('error', (err: ServiceError) => this.finish(err));
    call.on('status', (status: StatusObject) => this.finish(status.code === 0 ? undefined : status));
    call.on('end', () => call.end());
  }

  /** Resolves when the stream is over; never rejects. */
  get closed(): Promise<StreamEnd> {
    return this.over.promise;
  }

  get isClosed(): boolean {
    return this.ended;
  }

  /** Sends a message. Resolves when the next may be sent, or when the stream is over. */
  async write(message: Req): Promise<void> {
    if (this.ended) return;
    if (this.call.write(message)) return;
    await this.drain();
  }

  /** Sends a message without waiting; false when the hub does not read as fast. */
  writeNow(message: Req): boolean {
    return this.ended || this.call.write(message);
  }

  /** Resolves when the hub has read enough, or when the stream is over. */
  drain(): Promise<void> {
    this.drained ??= new Promise<void>((resolve) => {
      const done = () => {
        this.drained = undefined;
        resolve();
      };
      this.call.once('drain', done);
      void this.over.promise.then(done);
    });
    return this.drained;
  }

  /** Stops reading from the hub. */
  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  /** Says that nothing more comes, and lets the hub close. */
  end(): void {
    if (!this.ended) this.call.end();
  }

  /** Ends the stream. */
  cancel(): void {
    if (!this.ended) this.reset();
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (err) {
      this.reset();
      this.finish(err as ServiceError);
    }
  }

  /**
   * Never from within what Node.js tells of this connection, such as the end of another stream: with a write
   * scheduled, a reset then sends what is pending while nghttp2 still closes that stream, and nghttp2 answers with
   * empty frames without end: the process hangs and its memory grows (seen with Node.js 20.20 when a process stood
   * still for longer than the keepalive).
   */
  private reset(): void {
    setImmediate(() => this.call.cancel());
  }

  private finish(end: StreamEnd): void {
    this.ended = true;
    this.over.resolve(end);
  }
}
