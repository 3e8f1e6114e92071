import type { VmStage } from '../../src/client/index.js';
import { formatSeconds } from './duration.js';
import { safe } from './errors.js';

/** Where stages are shown. */
export interface StageOutput {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** A stage as an event tells it: its message ends with the time, and then the error, once it is over. */
export function stageFromEvent(name: string, message: string): VmStage {
  const [, detail, seconds, error = ''] = /^(.*) \((\d+(?:\.\d+)?) s\)(?:: (.*))?$/s.exec(message) ?? [];
  if (detail === undefined) return { name, detail: message, error: '' };
  return { name, detail, error, durationMs: Number(seconds) * 1000 };
}

/** Shows the stages of a machine in the making: one live line a stage on a terminal, else a line for each. */
export class StageDisplay {
  private readonly seen = new Map<string, 'running' | 'done'>();
  private current: { readonly name: string; readonly sinceMs: number; detail: string } | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly title: string,
    private readonly output: StageOutput,
    private readonly now: () => number = () => Date.now(),
  ) {}

  private running(name: string, detail: string): void {
    if (this.seen.get(name) === 'done') return;
    this.seen.set(name, 'running');
    if (this.current?.name !== name) this.current = { name, detail, sinceMs: this.now() };
    this.current.detail = detail || this.current.detail;
    if (!this.output.isTTY) return;
    this.repaint();
    this.timer ??= setInterval(() => this.repaint(), 200).unref();
  }

  /** Shows that a stage goes on, or once that it is over. */
  show(stage: VmStage): void {
    if (stage.durationMs === undefined && stage.error === '') {
      this.running(stage.name, stage.detail);
      return;
    }
    if (this.seen.get(stage.name) === 'done') return;
    this.seen.set(stage.name, 'done');
    if (this.current?.name === stage.name) this.current = undefined;
    const time = stage.durationMs === undefined ? '' : formatSeconds(stage.durationMs);
    const text = safe(stage.error || stage.detail).replace(/\s+/g, ' ');
    if (!this.output.isTTY) {
      this.output.write(`${this.title}: ${stage.name} ${text}${time ? ` (${time})` : ''}\n`);
      return;
    }
    const mark = stage.error ? '✗' : '✔';
    this.output.write(`\r\u001b[K ${mark} ${stage.name.padEnd(8)} ${text.padEnd(44)} ${time}\n`);
  }

  /** Ends the display; nothing stays half painted. */
  close(): void {
    clearInterval(this.timer);
    if (this.current && this.output.isTTY) this.output.write('\r\u001b[K');
    this.current = undefined;
  }

  private repaint(): void {
    if (!this.current) return;
    const { name, detail, sinceMs } = this.current;
    const text = safe(detail).replace(/\s+/g, ' ').slice(0, 44).padEnd(44);
    this.output.write(`\r\u001b[K … ${name.padEnd(8)} ${text} ${formatSeconds(this.now() - sinceMs)}`);
  }
}
