/**
 * Turns work that ends in any order into one acknowledged position: everything up to it is stored.
 * Sequences begin in growing order.
 */
export class AckTracker {
  private readonly open: { readonly sequence: number; done: boolean }[] = [];

  constructor(private acked: number) {}

  /** Last position up to which everything is stored. */
  get position(): number {
    return this.acked;
  }

  /** Work on a sequence begins. Answers how to say that it is stored; that answers the new position. */
  begin(sequence: number): () => number {
    const entry = { sequence, done: false };
    this.open.push(entry);
    return () => {
      entry.done = true;
      return this.advance();
    };
  }

  /** What the position will be once this sequence is stored, as things stand. */
  positionWith(sequence: number): number {
    const first = this.open.find((entry) => !entry.done && entry.sequence !== sequence);
    if (first === undefined || first.sequence > sequence) return Math.max(this.acked, sequence);
    return this.acked;
  }

  private advance(): number {
    for (let first = this.open[0]; first?.done; first = this.open[0]) {
      this.acked = Math.max(this.acked, first.sequence);
      this.open.shift();
    }
    return this.acked;
  }
}
