/** Most bytes of a tail. */
export const TAIL_BYTES = 8192;

/** Keeps the last bytes of a stream. */
export class TextTail {
  private bytes = Buffer.alloc(0);

  /** Adds what was read. */
  push(data: Buffer): void {
    const last = data.length > TAIL_BYTES ? data.subarray(data.length - TAIL_BYTES) : data;
    const joined = Buffer.concat([this.bytes, last]);
    this.bytes = joined.length > 2 * TAIL_BYTES ? Buffer.from(joined.subarray(-TAIL_BYTES)) : joined;
  }

  /** The last text, bad UTF-8 replaced, at most {@link TAIL_BYTES} bytes of UTF-8. */
  text(): string {
    let text = this.bytes.subarray(-TAIL_BYTES).toString('utf8');
    // Each replaced byte grows to three, and NUL characters are allowed nowhere in the contract.
    text = text.replaceAll('\0', '\uFFFD');
    while (Buffer.byteLength(text) > TAIL_BYTES)
      text = text.slice(Math.ceil((Buffer.byteLength(text) - TAIL_BYTES) / 3));
    return text;
  }
}
