import type { StreamKey } from '../../model/output.js';
import type { OutputIndex, StreamState } from './output-index.js';

/** Most streams that are remembered while nothing of them is pending. */
const MAX_IDLE = 10_000;

/** One stream: what is durable, and what was taken in. */
export interface LiveStream {
  readonly key: StreamKey;
  durable: StreamState;
  accepted: StreamState;
  /** Settles when the last record that was taken in is durable, or is not going to be. */
  last: Promise<void>;
}

/** How far each stream is. Entries with pending records are never forgotten. */
export class StreamStates {
  private readonly streams = new Map<string, LiveStream>();

  constructor(private readonly index: OutputIndex) {}

  /** Finds a stream here or in the index. One call at a time. */
  async get({ task, attempt, stream }: StreamKey): Promise<LiveStream> {
    const name = `${attempt}/${stream}/${task}`;
    const known = this.streams.get(name) ?? (await this.load({ task, attempt, stream }));
    this.streams.delete(name);
    this.streams.set(name, known);
    if (this.streams.size > MAX_IDLE) this.forgetIdle();
    return known;
  }

  /** Where a stream durably ends. */
  async durable({ task, attempt, stream }: StreamKey): Promise<StreamState> {
    const known = this.streams.get(`${attempt}/${stream}/${task}`);
    return known?.durable ?? (await this.index.stream({ task, attempt, stream })) ?? NOTHING;
  }

  /** Forgets what was taken in and did not become durable. */
  rollback(): void {
    for (const stream of this.streams.values()) stream.accepted = stream.durable;
  }

  private async load(key: StreamKey): Promise<LiveStream> {
    const state = (await this.index.stream(key)) ?? NOTHING;
    return { key, durable: state, accepted: state, last: Promise.resolve() };
  }

  private forgetIdle(): void {
    for (const [name, { accepted, durable }] of this.streams) {
      if (this.streams.size <= MAX_IDLE) return;
      if (accepted === durable) this.streams.delete(name);
    }
  }
}

const NOTHING: StreamState = { nextOffset: 0, lostBytes: 0 };
