import { setTimeout as sleep } from 'node:timers/promises';
import { check, type Violation } from '../support/history/check.js';
import { History, type TaskPlan } from '../support/history/evidence.js';
import { Cluster } from './cluster.js';
import { Load } from './load.js';
import { inParallel, Observer } from './observer.js';
import { type ChaosOptions, SHORT } from './options.js';
import { bodyOf, type ChaosTask } from './tasks.js';

const QUIET: ChaosOptions = {
  ...SHORT,
  hubKills: 0,
  agentKills: 0,
  pauses: 0,
  partitions: 0,
  restores: 0,
  diskFulls: 0,
};
/** Seconds between two lines of a task. */
const LINE_SECONDS = 0.1;
const SETTLE_MS = 60_000;

/** A cluster with an observer, on which a test plays one fault at a time. */
export class Scene {
  private names = 0;

  private constructor(
    readonly cluster: Cluster,
    private readonly history: History,
    private readonly observer: Observer,
    private readonly load: Load,
    private readonly stopping: AbortController,
  ) {}

  static async open(agents: number, machines = 0): Promise<Scene> {
    const cluster = await Cluster.start({ ...QUIET, agents, machines });
    const history = new History();
    const observer = await Observer.start(cluster, history);
    const stopping = new AbortController();
    return new Scene(cluster, history, observer, new Load(cluster, history, stopping.signal), stopping);
  }

  /** Starts tasks that write a line to each stream every 100 ms for so long, and waits until all of them run. */
  async startTasks(count: number, seconds: number): Promise<void> {
    const tasks = Array.from({ length: count }, (_, n) => this.taskOf(n, seconds));
    await this.load.run(tasks, 100);
    await this.until('all tasks run', async () => {
      const answer = await this.cluster.admin('GET', '/tasks?states=RUNNING&pageSize=500');
      return JSON.stringify(answer.json).split('"state":"RUNNING"').length > count;
    });
  }

  /** Resolves when a question is answered with yes. @throws Error after `limitMs`. */
  async until(what: string, ask: () => Promise<boolean>, limitMs = SETTLE_MS): Promise<number> {
    const startMs = performance.now();
    while (!(await ask().catch(() => false))) {
      if (performance.now() - startMs > limitMs)
        throw new Error(`after ${limitMs} ms it is not so that ${what}`);
      await sleep(50);
    }
    return performance.now() - startMs;
  }

  /** Whether so many agents are connected. */
  online(count: number): () => Promise<boolean> {
    return async () => {
      const answer = await this.cluster.admin('GET', '/agents?status=online&pageSize=500');
      return JSON.stringify(answer.json).split('"status":"online"').length > count;
    };
  }

  /** Waits for the end of all tasks and judges what came of them. */
  async verdict(lostReasons: readonly string[] = []): Promise<readonly Violation[]> {
    const ids = [...this.load.ids.values()];
    const ended = async () => {
      await inParallel(ids, 3, async (id) => void (await this.observer.look(id)));
      return ids.every((id) => this.observer.endedTasks.has(id));
    };
    await this.until('all tasks have ended', ended);
    await this.observer.finish(ids);
    return check(this.history, { lostReasons });
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.observer.stop();
    await this.cluster.close();
  }

  private taskOf(n: number, seconds: number): ChaosTask {
    const { names, marksDir: marks } = this.cluster;
    const agent = names[n % names.length] ?? '';
    const lines = Math.round(seconds / LINE_SECONDS);
    this.names += 1;
    const plan: TaskPlan = {
      name: `task-${this.names}`,
      lines: { STDOUT: lines, STDERR: lines },
      failUntil: 0,
      exitCode: 0,
      maxAttempts: 1,
    };
    const body = { ...bodyOf(plan, { agent, marks, burst: 1, rest: `${LINE_SECONDS}` }), lane: `lane-${n}` };
    const plain = { ownId: true, again: false, cancelAfterMs: undefined, force: false, wrong: undefined };
    return { plan, agent, body, ...plain };
  }
}
