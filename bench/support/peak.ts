import { residentBytes } from '../../test/support/e2e/memory.js';

const SAMPLE_MS = 50;

/** The most resident memory that processes had while something ran. */
export class PeakMemory {
  private readonly peaks: number[];

  constructor(private readonly pids: readonly number[]) {
    this.peaks = pids.map(() => 0);
  }

  async during<T>(work: () => Promise<T>): Promise<T> {
    const timer = setInterval(() => void this.sample(), SAMPLE_MS);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  /** In megabytes, in the order of the processes. */
  get megabytes(): readonly number[] {
    return this.peaks.map((bytes) => bytes / 1e6);
  }

  private async sample(): Promise<void> {
    const now = await residentBytes(this.pids);
    now.forEach((bytes, at) => {
      this.peaks[at] = Math.max(this.peaks[at] ?? 0, bytes);
    });
  }
}
