import { setTimeout as sleep } from 'node:timers/promises';
import type { RestAnswer } from '../support/e2e/hub-process.js';
import type { History } from '../support/history/evidence.js';
import type { Cluster } from './cluster.js';
import type { ChaosTask } from './tasks.js';

const RETRY_MS = 150;
/** Answers that say: not now. */
const LATER = [408, 429, 500, 502, 503, 504, 507];

/** Hands in the tasks of a run as a caller does who does not give up: the same key until there is an answer. */
export class Load {
  /** Ids of accepted tasks by name. */
  readonly ids = new Map<string, string>();
  rejected = 0;
  /** Requests that were answered with an error or not at all, and repeated. */
  repeats = 0;
  private readonly pending = new Set<Promise<void>>();

  constructor(
    private readonly cluster: Cluster,
    private readonly history: History,
    private readonly signal: AbortSignal,
  ) {}

  /** Resolves when all are handed in and every answer has come. */
  async run(tasks: readonly ChaosTask[], rate: number): Promise<void> {
    const startMs = performance.now();
    for (const [n, task] of tasks.entries()) {
      await sleep(Math.max(0, startMs + (n / rate) * 1000 - performance.now()), undefined, {
        signal: this.signal,
      });
      this.track(this.handle(task));
    }
    while (this.pending.size > 0) await Promise.all(this.pending);
  }

  private track(work: Promise<void>): void {
    const tracked = work.finally(() => this.pending.delete(tracked));
    this.pending.add(tracked);
  }

  private async handle(task: ChaosTask): Promise<void> {
    const { name } = task.plan;
    this.history.add({ type: 'posted', plan: task.plan });
    if (task.wrong === 'agent') return this.expectRefusal(name, 'nobody', task, {});
    await this.submit(task);
    if (task.wrong === 'conflict') await this.expectConflict(task);
    if (task.again) {
      await sleep(2000, undefined, { signal: this.signal });
      await this.submit(task);
    }
    if (task.cancelAfterMs !== undefined) await this.cancel(task, task.cancelAfterMs);
  }

  private async submit(task: ChaosTask): Promise<void> {
    const { name } = task.plan;
    const id = task.ownId ? { id: name } : {};
    const path = `/agents/${task.agent}/task`;
    const answer = await this.answered('POST', path, { ...task.body, ...id }, { 'idempotency-key': name });
    if (answer.status !== 200) throw new Error(`${name} was refused with ${answer.status}: ${answer.text}`);
    const given = String(answer.at('taskId'));
    this.history.add({ type: 'accepted', name, id: given });
    this.ids.set(name, given);
  }

  /** The same id with another content, under a name of its own: its marker would tell that it ran. */
  private async expectConflict(task: ChaosTask): Promise<void> {
    const name = `${task.plan.name}-other`;
    this.history.add({ type: 'posted', plan: { ...task.plan, name } });
    await this.expectRefusal(name, task.agent, task, { id: task.plan.name });
  }

  private async expectRefusal(name: string, agent: string, task: ChaosTask, more: object): Promise<void> {
    const env = { ...(task.body.env as object), CHAOS_TASK: name };
    const headers = { 'idempotency-key': name };
    const answer = await this.answered(
      'POST',
      `/agents/${agent}/task`,
      { ...task.body, env, ...more },
      headers,
    );
    if (answer.status < 400) this.history.add({ type: 'accepted', name, id: String(answer.at('taskId')) });
    else this.history.add({ type: 'rejected', name, reason: `${answer.status} ${answer.at('message')}` });
    this.rejected += 1;
  }

  private async cancel({ plan, force }: ChaosTask, afterMs: number): Promise<void> {
    await sleep(afterMs, undefined, { signal: this.signal });
    this.history.add({ type: 'cancelled', name: plan.name });
    await this.answered('POST', `/tasks/${this.ids.get(plan.name)}:cancel`, { force });
  }

  /** Asks until there is an answer that is one. */
  private async answered(
    method: string,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<RestAnswer> {
    for (;;) {
      this.signal.throwIfAborted();
      const answer = await this.cluster.hub.rest(method, path, body, headers).catch(() => undefined);
      if (answer && !LATER.includes(answer.status)) return answer;
      this.repeats += 1;
      await sleep(RETRY_MS, undefined, { signal: this.signal });
    }
  }
}
