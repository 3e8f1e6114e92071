/** Most bytes of one answer: what clients take by default, with room for the rest of the message. */
export const MAX_PAGE_BYTES = 3 * 1024 * 1024;

/** A generated message type. */
export interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}

/** Fills one answer with messages up to {@link MAX_PAGE_BYTES}; the first always fits. */
export class PageFiller<T> {
  readonly items: T[] = [];
  private bytes = 0;

  constructor(private readonly codec: Encoder<T>) {}

  /** Adds a message; false when the answer is full and it was not taken. */
  add(message: T): boolean {
    const size = this.codec.encode(message).finish().length + 8;
    if (this.items.length > 0 && this.bytes + size > MAX_PAGE_BYTES) return false;
    this.bytes += size;
    this.items.push(message);
    return true;
  }
}
