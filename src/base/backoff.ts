/** Options of a {@link Backoff}, all in milliseconds. */
export interface BackoffOptions {
  /** Upper limit of the first wait. */
  readonly initialMs: number;
  /** Upper limit of every wait. */
  readonly maxMs: number;
  /** Least wait. Default 0. */
  readonly minMs?: number;
  /** Random number in [0, 1). Default `Math.random`. */
  readonly random?: () => number;
}

/** Capped exponential waits with full jitter. */
export class Backoff {
  private attempt = 0;

  constructor(private readonly options: BackoffOptions) {}

  /** The next wait in milliseconds. */
  next(): number {
    const { initialMs, maxMs, minMs = 0, random = Math.random } = this.options;
    const cap = Math.min(maxMs, initialMs * 2 ** this.attempt);
    this.attempt = Math.min(this.attempt + 1, 30);
    return minMs + random() * Math.max(0, cap - minMs);
  }

  /** Starts over, after something worked. */
  reset(): void {
    this.attempt = 0;
  }
}
