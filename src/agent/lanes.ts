/** Something that waits its turn in a lane. */
export interface LaneItem {
  readonly lane: string;
  /** Whether a failure of this one gives back what waits behind it. */
  readonly stopLaneOnFailure: boolean;
}

/** What {@link Lanes} needs. */
export interface LanesOptions<T extends LaneItem> {
  /** Begins an item; {@link Lanes.ended} must be called once when it is over. */
  start(item: T): void;
  /** An item that will not be started, because one before it failed. */
  giveBack(item: T): void;
}

interface Lane<T> {
  readonly waiting: T[];
  running: number;
}

/** Starts items in the order in which they came, lane by lane, so many at once as the lane is wide. */
export class Lanes<T extends LaneItem> {
  private readonly lanes = new Map<string, Lane<T>>();
  private readonly widths = new Map<string, number>();
  private held = false;

  constructor(private readonly options: LanesOptions<T>) {}

  /** How many items of a lane run at once. Default 1. */
  setWidth(lane: string, width: number): void {
    this.widths.set(lane, Math.max(1, width));
    this.pump(lane);
  }

  /** Starts nothing until it is released. */
  setHeld(held: boolean): void {
    this.held = held;
    for (const lane of [...this.lanes.keys()]) this.pump(lane);
  }

  /** Adds an item behind those of its lane. */
  add(item: T): void {
    const lane = this.lanes.get(item.lane) ?? { waiting: [], running: 0 };
    this.lanes.set(item.lane, lane);
    lane.waiting.push(item);
    this.pump(item.lane);
  }

  /** An item of an earlier process runs already. */
  addRunning(item: T): void {
    const lane = this.lanes.get(item.lane) ?? { waiting: [], running: 0 };
    this.lanes.set(item.lane, lane);
    lane.running += 1;
  }

  /** Takes an item out that was not started. False when it was, or is not here. */
  remove(item: T): boolean {
    const waiting = this.lanes.get(item.lane)?.waiting ?? [];
    const index = waiting.indexOf(item);
    if (index < 0) return false;
    waiting.splice(index, 1);
    this.pump(item.lane);
    return true;
  }

  /** An item that was started is over. */
  ended(item: T, failed: boolean): void {
    const lane = this.lanes.get(item.lane);
    if (lane === undefined) return;
    lane.running -= 1;
    if (failed && item.stopLaneOnFailure)
      for (const behind of lane.waiting.splice(0)) this.options.giveBack(behind);
    this.pump(item.lane);
  }

  /** How many items run. */
  get running(): number {
    let sum = 0;
    for (const lane of this.lanes.values()) sum += lane.running;
    return sum;
  }

  private pump(name: string): void {
    const lane = this.lanes.get(name);
    if (lane === undefined) return;
    while (!this.held && lane.running < (this.widths.get(name) ?? 1)) {
      const item = lane.waiting.shift();
      if (item === undefined) break;
      lane.running += 1;
      this.options.start(item);
    }
    if (lane.running === 0 && lane.waiting.length === 0) this.lanes.delete(name);
  }
}
