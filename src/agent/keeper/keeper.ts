import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import { deferred } from '../../base/deferred.js';
import { runDetached } from '../../base/detached.js';
import { isErrno, messageOf } from '../../base/errno.js';
import { JsonSocket } from '../../base/json-socket.js';
import { isLock, type LockFile, takeLock } from '../../base/lock-file.js';
import type { Logger } from '../../base/logger.js';
import { shortPath } from '../../base/short-path.js';
import { type AttemptId, attemptKey } from '../attempt-id.js';
import { PipePool } from '../pipe-pool.js';
import type { StopKind } from '../stop.js';
import { TreeSet } from '../tree-set.js';
import { AgentPeer } from './agent-peer.js';
import {
  KEEPER_LOCK,
  KEEPER_PROTOCOL,
  KEEPER_SOCKET,
  type KeeperHello,
  type RunRequest,
  type ToKeeper,
} from './messages.js';
import { TaskRun } from './task-run.js';

/** Without an agent and without a running attempt it ends. */
const IDLE_MS = 60_000;

/** What {@link Keeper} needs. */
export interface KeeperOptions {
  /** The agent's state directory; it is there. */
  readonly stateDir: string;
  /** Of the program. */
  readonly version: string;
  /** Milliseconds without an agent and without a running attempt after which it ends. Default 60000. */
  readonly idleMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Owns the processes of attempts, so that they live on when the agent dies: their pipes, time limits, spools and
 * ends. One agent at a time tells it over a unix socket what to do. An attempt is started at most once: its
 * directory is made before, and is there as long as the journal knows the attempt.
 */
export class Keeper {
  private readonly runs = new Map<string, TaskRun>();
  private readonly trees: TreeSet;
  private readonly pipes: PipePool;
  private readonly server: Server;
  private readonly end = deferred();
  private agent: AgentPeer | undefined;
  private idle: Disposable | undefined;
  private closing: Promise<void> | undefined;

  private constructor(
    private readonly options: KeeperOptions,
    private readonly lock: LockFile,
  ) {
    this.trees = new TreeSet(options.clock);
    this.pipes = new PipePool(join(options.stateDir, 'pipes'));
    this.server = createServer((socket) => this.connected(socket));
  }

  /** Listens; undefined when the directory has a keeper already. */
  static async start(options: KeeperOptions): Promise<Keeper | undefined> {
    const lock = await takeLock(join(options.stateDir, KEEPER_LOCK));
    if (!isLock(lock)) return undefined;
    const keeper = new Keeper(options, lock);
    try {
      await keeper.listen();
      return keeper;
    } catch (err) {
      await lock.close();
      throw err;
    }
  }

  /** Resolves when it has ended. */
  get ended(): Promise<void> {
    return this.end.promise;
  }

  /** Ends all attempts as at the end of the machine, and then itself. */
  async stop(): Promise<void> {
    for (const run of this.runs.values()) run.stop.stop('AGENT_STOPPED');
    while (this.isBusy) await this.options.clock.sleep(10);
    await this.close();
  }

  private get isBusy(): boolean {
    return [...this.runs.values()].some((run) => run.record === undefined);
  }

  private async listen(): Promise<void> {
    const { stateDir } = this.options;
    await this.pipes.start();
    await rm(this.tempDir, { recursive: true, force: true });
    // Tasks of another user reach their own files in it, by names that they cannot list.
    await mkdir(this.tempDir, { recursive: true, mode: 0o711 });
    const path = join(stateDir, KEEPER_SOCKET);
    rmSync(path, { force: true });
    // Closing the server removes its path, which must mean the same place then.
    const short = shortPath(path);
    void this.ended.finally(() => short[Symbol.dispose]());
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(short.path, resolve);
    });
    chmodSync(path, 0o600);
    this.rest();
  }

  private get tempDir(): string {
    return join(this.options.stateDir, 'tmp');
  }

  private close(): Promise<void> {
    this.closing ??= this.release();
    return this.closing;
  }

  private async release(): Promise<void> {
    this.idle?.[Symbol.dispose]();
    this.server.close();
    await this.pipes.close();
    await rm(this.tempDir, { recursive: true, force: true });
    await this.lock.close();
    // The agent waits for this: its directory is free now.
    this.agent?.close();
    this.end.resolve();
  }

  private connected(socket: Socket): void {
    const peer: JsonSocket = new JsonSocket(socket, (message) => this.receive(peer, message as ToKeeper));
  }

  /** Only the newest agent is heard: what an older one sent and was not read does not happen. */
  private receive(peer: JsonSocket, message: ToKeeper): void {
    if (message.type === 'hello') this.greet(peer, message);
    else if (message.type === 'quit') this.quit(peer);
    else if (peer !== this.agent?.socket) peer.close();
    else this.obey(this.agent, message);
  }

  private quit(peer: JsonSocket): void {
    if (this.isBusy) peer.close();
    else runDetached(this.options.log, 'quit', () => this.close());
  }

  private greet(peer: JsonSocket, hello: KeeperHello): void {
    const { log, version } = this.options;
    if (this.closing !== undefined) {
      peer.close();
      return;
    }
    if (hello.protocol !== KEEPER_PROTOCOL) {
      peer.send({ type: 'welcome', protocol: KEEPER_PROTOCOL, version, attempts: [], knowsUsers: true });
      return;
    }
    this.agent?.close();
    this.idle?.[Symbol.dispose]();
    const agent = new AgentPeer(peer, hello);
    this.agent = agent;
    void peer.closed.then(() => this.left(agent));
    runDetached(log, 'hello', async () => {
      await this.killStrangers([hello.journalId, ...hello.former]);
      const attempts = [...this.runs.values()].map((run) => run.kept);
      agent.welcome({ type: 'welcome', protocol: KEEPER_PROTOCOL, version, attempts, knowsUsers: true });
    });
  }

  /** Attempts of another journal were begun before the machine went back in time. */
  private async killStrangers(journals: readonly string[]): Promise<void> {
    const strangers = [...this.runs].filter(([, run]) => !journals.includes(run.journalId));
    for (const [, run] of strangers) run.stop.force('FORGOTTEN');
    while (strangers.some(([, run]) => run.record === undefined)) await this.options.clock.sleep(5);
    for (const [key] of strangers) this.runs.delete(key);
  }

  /** A barrier does not outlive the agent that was asked for it. */
  private left(agent: AgentPeer): void {
    if (agent !== this.agent) return;
    this.agent = undefined;
    this.trees.thaw();
    this.rest();
  }

  private rest(): void {
    this.idle?.[Symbol.dispose]();
    if (this.agent !== undefined || this.isBusy || this.closing !== undefined) return;
    const { clock, log, idleMs = IDLE_MS } = this.options;
    this.idle = clock.after(idleMs, () => runDetached(log, 'idle', () => this.close()));
  }

  private obey(agent: AgentPeer, message: Exclude<ToKeeper, { type: 'hello' | 'quit' }>): void {
    switch (message.type) {
      case 'run':
        this.run(agent, message);
        break;
      case 'stop':
        this.stopRun(message, message.kind, message.force);
        break;
      case 'freed':
        this.runs.get(attemptKey(message))?.freed(message.before);
        break;
      case 'release':
        this.forget(message);
        break;
      case 'freeze':
        runDetached(this.options.log, 'freeze', async () => {
          agent.send({ type: 'frozen', ok: await this.trees.freeze() });
        });
        break;
      case 'thaw':
        this.trees.thaw();
        break;
    }
  }

  private stopRun(id: AttemptId, kind: StopKind, force: boolean): void {
    const stop = this.runs.get(attemptKey(id))?.stop;
    if (force) stop?.force(kind);
    else stop?.stop(kind);
  }

  private forget(id: AttemptId): void {
    const key = attemptKey(id);
    if (this.runs.get(key)?.record !== undefined) this.runs.delete(key);
  }

  private run(agent: AgentPeer, request: RunRequest): void {
    const key = attemptKey(request);
    const dir = join(this.options.stateDir, 'spool', key);
    try {
      mkdirSync(dir, { mode: 0o700 });
    } catch (err) {
      // On a full disk it runs all the same: perhaps it makes room.
      if (!isErrno(err, 'ENOSPC', 'EDQUOT')) {
        const { task, attempt } = request;
        const known = isErrno(err, 'EEXIST');
        agent.send({ type: 'refused', task, attempt, known, message: messageOf(err) });
        return;
      }
    }
    const run = this.newRun(agent, request, dir);
    this.runs.set(key, run);
    runDetached(this.options.log, 'attempt', async () => {
      await run.run();
      this.agent?.ended(run);
      this.rest();
    });
  }

  private newRun(agent: AgentPeer, request: RunRequest, dir: string): TaskRun {
    const { clock, log } = this.options;
    const { task, attempt } = request;
    const { journalId, settings } = agent.hello;
    return new TaskRun({
      request,
      journalId,
      mark: `${journalId}/${attemptKey(request)};`,
      dir,
      tempDir: this.tempDir,
      settings,
      pipes: this.pipes,
      trees: this.trees,
      onStored: (run) => this.agent?.stored(run),
      clock,
      log: log.with({ task, attempt }),
    });
  }
}

/** Starts a keeper inside this process. */
export async function launchKeeperHere(options: KeeperOptions): Promise<void> {
  await Keeper.start(options);
}
