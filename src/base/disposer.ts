type Cleanup = () => void | Promise<void>;

/**
 * Closes what was opened, last first. Every step runs even when one before it failed; the errors come together
 * at the end. Closing twice waits for the same close.
 */
export class Disposer implements AsyncDisposable {
  private steps: Cleanup[] = [];
  private closing: Promise<void> | undefined;

  /** Adds a step. */
  defer(step: Cleanup): void {
    this.steps.push(step);
  }

  /** Adds something closable and answers it. */
  use<T extends { close(): void | Promise<void> }>(resource: T): T {
    this.defer(() => resource.close());
    return resource;
  }

  close(): Promise<void> {
    this.closing ??= this.run();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async run(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of this.steps.reverse()) {
      try {
        await step();
      } catch (err) {
        errors.push(err);
      }
    }
    this.steps = [];
    if (errors.length === 1) throw errors[0];
    if (errors.length > 1) throw new AggregateError(errors, 'several parts failed to close');
  }
}
