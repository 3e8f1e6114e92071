import type { Clock } from '../base/clock.js';
import { messageOf } from '../base/errno.js';
import type { StageName, VmStage } from '../model/vm.js';
import type { MachineBook } from './machine-book.js';
import type { StageReport } from './provider.js';

/** Most stages kept of one operation. */
const MAX_STAGES = 32;

/** The stages with this one added, or in the place of the running one of its name. */
export function withStage(stages: readonly VmStage[], stage: VmStage): readonly VmStage[] {
  const running = stages.findIndex((item) => item.name === stage.name && item.durationMs === undefined);
  if (running === -1) return [...stages, stage].slice(-MAX_STAGES);
  return stages.map((item, i) => (i === running ? stage : item));
}

/** Writes the stages that a provider reports into the machine's record, in order. */
export class StageRecorder {
  private writes: Promise<void> = Promise.resolve();

  constructor(
    private readonly book: MachineBook,
    private readonly clock: Clock,
    private readonly vm: string,
  ) {}

  readonly report: StageReport = (name, detail) => {
    const end = this.begin(name, detail);
    return (error) => end(detail, error);
  };

  /** Runs work as a stage of its own; `result` is its detail once that is done. */
  async during<T>(name: StageName, detail: string, work: () => Promise<T>, result = detail): Promise<T> {
    const end = this.begin(name, detail);
    try {
      const value = await work();
      end(result);
      return value;
    } catch (err) {
      end(detail, messageOf(err));
      throw err;
    } finally {
      await this.flush();
    }
  }

  /** Resolves when all stages are stored. */
  flush(): Promise<void> {
    return this.writes;
  }

  private begin(name: StageName, detail: string): (detail: string, error?: string) => void {
    const began = this.clock.monotonic();
    this.write({ name, detail });
    return (last, error) => {
      const durationMs = Math.round(this.clock.monotonic() - began);
      this.write({ name, detail: last, durationMs, ...(error === undefined ? {} : { error }) });
    };
  }

  private write(stage: VmStage): void {
    const edit = () =>
      this.book.change(this.vm, (vm) => ({ ...vm, stages: withStage(vm.stages, stage) }), stage);
    this.writes = this.writes.then(edit);
    this.writes.catch(() => {});
  }
}
