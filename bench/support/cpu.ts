import { readFileSync } from 'node:fs';

/** The kernel counts processor time in ticks of 10 ms. */
const TICK_MS = 10;

/** Processor time of a process so far, in milliseconds; 0 when it is gone. */
export function cpuMs(pid: number): number {
  try {
    const [, after = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) /s);
    const fields = after.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}

/** How busy processes are while something runs. */
export class CpuShares {
  private readonly used = new Map<string, number>();
  private wallMs = 0;

  constructor(private readonly pids: Readonly<Record<string, number>>) {}

  async during<T>(work: () => Promise<T>): Promise<T> {
    const before = Object.entries(this.pids).map(([name, pid]) => [name, cpuMs(pid)] as const);
    const begin = performance.now();
    const result = await work();
    this.wallMs += performance.now() - begin;
    for (const [name, ms] of before) {
      const spent = cpuMs(this.pids[name] ?? 0) - ms;
      this.used.set(name, (this.used.get(name) ?? 0) + spent);
    }
    return result;
  }

  /** Forgets what was counted, so that a warm-up does not count. */
  reset(): void {
    this.used.clear();
    this.wallMs = 0;
  }

  /** Processor time of one process for each of so many requests, in microseconds. */
  microsEach(name: string, count: number): number {
    return ((this.used.get(name) ?? 0) * 1000) / count;
  }

  /** Such as `cpu: hub 97 %, load 40 %`, the busiest first: that is the limit. */
  toString(): string {
    const shares = [...this.used].sort(([, a], [, b]) => b - a);
    return `cpu: ${shares.map(([name, ms]) => `${name} ${Math.round((ms * 100) / this.wallMs)} %`).join(', ')}`;
  }
}
