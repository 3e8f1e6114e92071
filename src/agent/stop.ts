/** Why a running attempt is to end. */
export type StopKind = 'TIMEOUT' | 'CANCELLED' | 'AGENT_STOPPED' | 'FORGOTTEN';

/** Ends an attempt: politely first, and by force later or at once. The first reason stays. */
export class StopSwitch {
  private readonly polite = new AbortController();
  private readonly hard = new AbortController();
  private why: StopKind | undefined;

  /** Why it is to end; undefined while it is not. */
  get kind(): StopKind | undefined {
    return this.why;
  }

  /** Aborts when it is to end. */
  get signal(): AbortSignal {
    return this.polite.signal;
  }

  /** Aborts when it is to be killed without waiting. */
  get forced(): AbortSignal {
    return this.hard.signal;
  }

  /** Asks for the end. */
  stop(kind: StopKind): void {
    this.why ??= kind;
    this.polite.abort(new Error(`stopped: ${kind}`));
  }

  /** Asks for the end at once. What stands still is not let go on before. */
  force(kind: StopKind): void {
    this.why ??= kind;
    this.hard.abort(new Error(`killed: ${kind}`));
    this.stop(kind);
  }
}
