import { setMaxListeners } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '../../src/agent/proc-tree.js';
import { KeyedMutex } from '../../src/base/keyed-mutex.js';
import type { LogRecord, Task, VmAgentClient } from '../../src/client/index.js';
import { isTerminal } from '../../src/model/task.js';
import { stateOf } from '../support/history/cases.js';
import type { Evidence, History, Piece, TaskView } from '../support/history/evidence.js';
import type { Cluster } from './cluster.js';

/** How long streams wait for a hub that is killed again and again while they have nothing to show. */
const PATIENCE_MS = 3_600_000;
const SCAN_EVERY_MS = 1500;
const READERS = 6;

/** Watches a run from outside and writes down what it sees. */
export class Observer {
  private readonly stopping = new AbortController();
  private readonly work: Promise<void>[] = [];
  private readonly ended = new Set<string>();
  private readonly looking = new KeyedMutex();
  /** Watchers that gave up. */
  readonly failures: string[] = [];

  private constructor(
    private readonly cluster: Cluster,
    private readonly client: VmAgentClient,
    private readonly history: History,
  ) {
    setMaxListeners(0, this.stopping.signal);
  }

  static async start(cluster: Cluster, history: History): Promise<Observer> {
    const client = await cluster.client();
    await client.health();
    const observer = new Observer(cluster, client, history);
    observer.watch(observer.followEvents());
    observer.watch(observer.scanProcesses());
    for (const agent of cluster.names) observer.watch(observer.followOutput(agent));
    return observer;
  }

  /** Tasks that are known to have ended. */
  get endedTasks(): ReadonlySet<string> {
    return this.ended;
  }

  /** Reads a task now; answers whether it has ended, undefined when the hub could not be asked. */
  look(id: string): Promise<boolean | undefined> {
    // One read of a task at a time, so that answers cannot overtake each other.
    return this.looking.run(id, async () => {
      const position = this.history.length;
      const ended = this.ended.has(id);
      try {
        const view = viewOf(await this.client.tasks.get(id, { deadlineMs: 10_000 }));
        this.history.add({ type: 'seen', view, ended });
        if (isTerminal(view.state)) this.ended.add(id);
        return isTerminal(view.state);
      } catch (err) {
        if (reasonOf(err) === 'TASK_NOT_FOUND') this.history.addAt(position, [{ type: 'missing', id }]);
        return undefined;
      }
    });
  }

  /** Ends the watching and collects what is stored, and what tasks and processes left behind. */
  async finish(ids: readonly string[]): Promise<void> {
    await this.stop();
    await this.scan(true);
    await inParallel(ids, READERS, async (id) => {
      await this.look(id);
      for (const piece of await this.storedOutput(id)) this.history.add({ type: 'stored', piece });
    });
    this.history.add(...(await markersIn(this.cluster.marksDir)));
    this.client.close();
  }

  async stop(): Promise<void> {
    this.stopping.abort(new Error('the run is over'));
    await Promise.allSettled(this.work);
  }

  private watch(work: Promise<void>): void {
    const watched = work.catch((err: unknown) => {
      if (!this.stopping.signal.aborted) this.failures.push(String(err));
    });
    this.work.push(watched);
  }

  private async followEvents(): Promise<void> {
    const options = { signal: this.stopping.signal, reconnectMs: PATIENCE_MS };
    // Position 0 is before the first event.
    for await (const event of this.client.events({ cursor: '0' }, options)) {
      if (event.task === '') continue;
      const { task: id, type: change, state, reason } = event;
      this.history.add({ type: 'told', id, change, state, reason });
      if (isTerminal(stateOf(state))) this.ended.add(id);
    }
  }

  private async followOutput(agent: string): Promise<void> {
    const options = { signal: this.stopping.signal, reconnectMs: PATIENCE_MS };
    // Without a cursor a follower of an agent begins with its last lines only.
    const request = { agent, follow: true, format: 'BYTES', cursor: '0' } as const;
    const places = new Places();
    for await (const record of this.client.logs(request, options)) {
      this.history.add({ type: 'shown', piece: places.pieceOf(record) });
    }
  }

  private async storedOutput(task: string): Promise<readonly Piece[]> {
    const pieces: Piece[] = [];
    const places = new Places();
    const options = { reconnectMs: PATIENCE_MS };
    for await (const record of this.client.logs({ task, format: 'BYTES' }, options))
      pieces.push(places.pieceOf(record));
    return pieces;
  }

  private async scanProcesses(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await this.scan(false);
      await sleep(SCAN_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  /** One look at all processes of this host; what is found was alive when the look began or later. */
  private async scan(last: boolean): Promise<void> {
    const position = this.history.length;
    const found: Evidence[] = [];
    const own = `\0CHAOS_MARKS=${this.cluster.marksDir}\0`;
    for (const entry of await readdir('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid)) continue;
      const environ = `\0${await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')}\0`;
      const name = environ.includes(own) ? /\0CHAOS_TASK=([^\0]+)/.exec(environ)?.[1] : undefined;
      if (name !== undefined && isRunning(pid)) found.push({ type: 'alive', name, pid, last });
    }
    this.history.addAt(position, found);
  }
}

/** Tells for records of missing bytes which stream they belong to: they stand where it ended. */
class Places {
  private readonly ends = new Map<string, number>();

  pieceOf(record: LogRecord): Piece {
    const { task: id, attempt } = record;
    const gapBytes = record.gapBytes;
    const stream =
      record.stream === 'STDOUT' || record.stream === 'STDERR' ? record.stream : this.streamAt(record);
    const data = Buffer.from(record.data).toString('latin1');
    this.ends.set(`${id} ${attempt} ${stream}`, record.offset + data.length + gapBytes);
    return { id, attempt, stream, offset: record.offset, data, gapBytes };
  }

  private streamAt({ task, attempt, offset }: LogRecord): 'STDOUT' | 'STDERR' {
    return (this.ends.get(`${task} ${attempt} STDOUT`) ?? 0) === offset ? 'STDOUT' : 'STDERR';
  }
}

/** What of a task a caller can rely on. */
export function viewOf(task: Task): TaskView {
  const { outcome } = task;
  return {
    id: task.id,
    state: stateOf(task.state),
    attempt: task.attempt,
    reason: outcome?.reason ?? '',
    ...(outcome?.exitCode === undefined ? {} : { exitCode: outcome.exitCode }),
    endTime: task.endTime === undefined ? '' : `${task.endTime.seconds}.${task.endTime.nanos}`,
    bytes: { STDOUT: outcome?.stdoutBytes ?? 0, STDERR: outcome?.stderrBytes ?? 0 },
    lostBytes: outcome?.lostBytes ?? 0,
    attempts: Object.fromEntries(task.attempts.map(({ number, state }) => [number, stateOf(state)])),
  };
}

/** What tasks wrote when they started. */
async function markersIn(dir: string): Promise<readonly Evidence[]> {
  const texts = await Promise.all((await readdir(dir)).map((name) => readFile(join(dir, name), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
  return lines.map((line) => {
    const [name = '', attempt] = line.split(' ');
    return { type: 'marker', name, attempt: Number(attempt) };
  });
}

/** Reason of an error of the client. */
export function reasonOf(err: unknown): string {
  return typeof err === 'object' && err !== null && 'reason' in err ? String(err.reason) : '';
}

/** Does work for each item, a few at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const worker = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
