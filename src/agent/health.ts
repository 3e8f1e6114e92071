import { statfs } from 'node:fs/promises';
import { arch, cpus, freemem, hostname, loadavg, platform, totalmem, uptime } from 'node:os';
import type { Clock } from '../base/clock.js';
import type { AgentHealth, Usage } from '../model/agent.js';

const MIB = 1024 * 1024;

/** What {@link HealthMeter} needs. */
export interface HealthMeterOptions {
  /** The disk that holds this directory is measured. */
  readonly home: string;
  readonly killScope: string;
  readonly clock: Clock;
  /** How many tasks run now. */
  readonly runningTasks: () => number;
}

/** Measures the machine. Its processor use is over the time since the measurement before. */
export class HealthMeter {
  private readonly startedMs: number;
  private before = processorTimes();

  constructor(private readonly options: HealthMeterOptions) {
    this.startedMs = options.clock.monotonic();
  }

  async measure(): Promise<AgentHealth> {
    const { home, killScope, clock, runningTasks } = this.options;
    const cpu = this.processorUse();
    const disk = await diskUsage(home);
    return {
      ...(cpu === undefined ? {} : { cpu }),
      memory: usageOf(totalmem(), freemem()),
      ...(disk === undefined ? {} : { disk }),
      uptime: (clock.monotonic() - this.startedMs) / 1000,
      systemUptime: uptime(),
      loadAverage: loadavg(),
      platform: platform(),
      arch: arch(),
      hostname: hostname(),
      runningTasks: runningTasks(),
      killScope,
      timestamp: clock.now(),
    };
  }

  private processorUse(): number | undefined {
    const now = processorTimes();
    const all = now.all - this.before.all;
    const idle = now.idle - this.before.idle;
    this.before = now;
    return all <= 0 ? undefined : percent(all - idle, all);
  }
}

function processorTimes(): { readonly all: number; readonly idle: number } {
  let [all, idle] = [0, 0];
  for (const { times } of cpus()) {
    all += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { all, idle };
}

async function diskUsage(path: string): Promise<Usage | undefined> {
  try {
    const { blocks, bavail, bsize } = await statfs(path);
    return usageOf(blocks * bsize, bavail * bsize);
  } catch {
    return undefined;
  }
}

function usageOf(total: number, free: number): Usage {
  const used = Math.max(0, total - free);
  return { total: total / MIB, used: used / MIB, free: free / MIB, usagePercent: percent(used, total) };
}

/** A part in percent with one decimal. */
function percent(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.round((Math.max(0, part) / whole) * 1000) / 10;
}
