import type { JsonSocket } from '../../base/json-socket.js';
import type { FromKeeper, KeeperHello, KeeperWelcome } from './messages.js';
import type { TaskRun } from './task-run.js';

/**
 * The agent as its keeper sees it. News of output is gathered for one turn of the event loop, and waits while the
 * agent does not read: however much a task writes, little is queued.
 */
export class AgentPeer {
  private readonly news = new Set<TaskRun>();
  private welcomed = false;
  private telling: NodeJS.Immediate | undefined;

  constructor(
    readonly socket: JsonSocket,
    readonly hello: KeeperHello,
  ) {
    socket.onDrain(() => this.tell());
  }

  /** The first answer; nothing is told before it. */
  welcome(welcome: KeeperWelcome): void {
    this.send(welcome);
    this.news.clear();
    this.welcomed = true;
  }

  send(message: FromKeeper): void {
    this.socket.send(message);
  }

  close(): void {
    this.socket.close();
  }

  /** A run has output that the agent does not know of. */
  stored(run: TaskRun): void {
    this.news.add(run);
    this.telling ??= setImmediate(() => this.tell());
  }

  /** A run is over. */
  ended(run: TaskRun): void {
    if (!this.welcomed) return;
    this.news.delete(run);
    const { task, attempt, end, record } = run.kept;
    if (record !== undefined) this.send({ type: 'ended', task, attempt, end, record });
  }

  private tell(): void {
    this.telling = undefined;
    for (const run of this.news) {
      if (!this.welcomed || this.socket.isBehind) return;
      this.news.delete(run);
      const { task, attempt, end } = run.kept;
      this.send({ type: 'output', task, attempt, end });
    }
  }
}
