import { Duplex } from 'node:stream';

/** Turns a message that goes in at one end into what comes out at the other. */
type Convert = (message: unknown) => unknown;

/**
 * One end of a streaming call within the process. What is written here is read at the other end; a slow reader
 * there makes the writer here wait, with at most 16 messages in the buffer of each.
 */
export abstract class MessagePipe extends Duplex {
  private other: MessagePipe | undefined;
  private held: (() => void) | undefined;

  constructor(
    sides: { readonly readable: boolean; readonly writable: boolean },
    private readonly convert: Convert,
  ) {
    super({ ...sides, objectMode: true, emitClose: false });
  }

  /** Joins two ends. */
  static join(one: MessagePipe, two: MessagePipe): void {
    one.other = two;
    two.other = one;
  }

  /** The writer here has said all. */
  protected abstract finished(): void;

  /** A message cannot be handed over. */
  protected abstract broken(err: unknown): void;

  /** Nothing more is read: what is written to this end is thrown away. */
  protected abstract get isOver(): boolean;

  /** Lets the reader at the other end come to an end. */
  protected endOther(): void {
    this.other?.endReading();
  }

  /** Lets the reader here come to an end. */
  protected endReading(): void {
    if (!this.readableEnded && !this.destroyed) this.push(null);
    this.release();
  }

  override _read(): void {
    this.release();
  }

  override _write(message: unknown, _encoding: BufferEncoding, taken: () => void): void {
    try {
      if (this.isOver || this.other === undefined) taken();
      else this.other.receive(this.convert(message), taken);
    } catch (err) {
      taken();
      this.broken(err);
    }
  }

  override _final(done: () => void): void {
    done();
    this.finished();
  }

  /** A message for the reader here. */
  protected receive(message: unknown, taken: () => void): void {
    if (this.push(message)) taken();
    else this.held = taken;
  }

  private release(): void {
    const { held } = this;
    this.held = undefined;
    held?.();
  }
}
