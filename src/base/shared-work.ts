/**
 * Work that one run does for all who ask. Whoever asks while it runs gets the next run, so that what it answers was
 * found after it was asked for; there is never more than one run at a time.
 */
export class SharedWork<T> {
  private running: Promise<T> | undefined;
  private next: Promise<T> | undefined;

  constructor(private readonly work: () => Promise<T>) {}

  /** The answer of a run that begins now or later. */
  run(): Promise<T> {
    if (this.running === undefined) return this.begin();
    const begin = () => {
      this.next = undefined;
      return this.begin();
    };
    this.next ??= this.running.then(begin, begin);
    return this.next;
  }

  private begin(): Promise<T> {
    const running = this.work().finally(() => {
      this.running = undefined;
    });
    this.running = running;
    return running;
  }
}
