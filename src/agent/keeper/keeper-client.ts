import { join } from 'node:path';
import type { Clock } from '../../base/clock.js';
import { type Deferred, deferred } from '../../base/deferred.js';
import { messageOf } from '../../base/errno.js';
import { lockHolder } from '../../base/lock-file.js';
import type { Logger } from '../../base/logger.js';
import { signalProcess } from '../../base/process.js';
import { type AttemptId, attemptKey } from '../attempt-id.js';
import type { SpoolEnd } from '../spool-writer.js';
import type { StopKind } from '../stop.js';
import { dialKeeper, type KeeperLink } from './keeper-link.js';
import {
  type ExitRecord,
  type FromKeeper,
  KEEPER_LOCK,
  KEEPER_PROTOCOL,
  type KeeperHello,
  type KeeperWelcome,
  type KeptAttempt,
  type RunRequest,
  type ToKeeper,
} from './messages.js';

/** For a keeper to start, or to answer. One that takes longer is killed. */
const ANSWER_MS = 15_000;
const POLL_MS = 5;
/** For a keeper that was told to quit. */
const QUIT_MS = 2000;

/** What {@link KeeperClient} needs. */
export interface KeeperClientOptions {
  readonly stateDir: string;
  readonly hello: Omit<KeeperHello, 'type' | 'protocol'>;
  /** Of the program; a keeper of another one is replaced when nothing runs. */
  readonly version: string;
  /** Starts a keeper, which listens soon. */
  readonly launch: () => Promise<void>;
  /** A spool grew. */
  readonly onOutput: (id: AttemptId, end: SpoolEnd) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What became of an attempt that was given to the keeper. */
export type KeptEnd =
  | { readonly type: 'exited'; readonly record: ExitRecord }
  /** It was not started. */
  | { readonly type: 'failed'; readonly message: string }
  /** It may have been started, and the keeper is gone or does not know its end. */
  | { readonly type: 'lost' };

/** An attempt that an earlier agent gave to the keeper. */
export interface FoundAttempt {
  readonly attempt: KeptAttempt;
  readonly end: Promise<KeptEnd>;
}

/** What {@link KeeperClient.takeOver} found. */
export interface FoundKeeper {
  /** Whether it is the keeper that an earlier agent left: then it knows of all that was given to it. */
  readonly lived: boolean;
  readonly attempts: readonly FoundAttempt[];
}

/** The agent's end of the connection to its keeper. When the keeper dies a new one is started. */
export class KeeperClient {
  private readonly pending = new Map<string, Deferred<KeptEnd>>();
  /** What is to be ended; told again to a keeper after the connection broke. */
  private readonly stops = new Map<string, ToKeeper>();
  /** What the first keeper had, once it answered. */
  private found: FoundAttempt[] | undefined;
  private readonly frozen: Deferred<boolean>[] = [];
  private link: KeeperLink | undefined;
  private opening: Promise<KeeperLink> | undefined;
  private closed = false;

  constructor(private readonly options: KeeperClientOptions) {}

  /**
   * Connects to the keeper that an earlier agent left, and answers what it has. Where there is none, one is being
   * started, and this does not wait for it.
   */
  async takeOver(): Promise<FoundKeeper> {
    const there = await this.holder();
    const opening = this.connected();
    if (there !== undefined) await opening;
    else opening.catch((err: unknown) => this.options.log.error('no keeper', { error: err }));
    const lived = there !== undefined && there === (await this.holder());
    return { lived, attempts: this.found ?? [] };
  }

  /** Runs an attempt, and answers its end. */
  async run(request: RunRequest): Promise<KeptEnd> {
    const key = attemptKey(request);
    try {
      await this.replaceOld();
      const link = await this.connected();
      const end = this.follow(request);
      link.send({ type: 'run', ...request });
      this.sendStop(key);
      return await end;
    } catch (err) {
      this.stops.delete(key);
      return { type: 'failed', message: `the keeper of tasks cannot be started: ${messageOf(err)}` };
    }
  }

  /** The end of an attempt that the keeper has. */
  follow(id: AttemptId): Promise<KeptEnd> {
    const end = this.pending.get(attemptKey(id)) ?? deferred<KeptEnd>();
    this.pending.set(attemptKey(id), end);
    return end.promise;
  }

  /** Ends an attempt that {@link run} or {@link follow} was called for. */
  stop({ task, attempt }: AttemptId, kind: StopKind, force: boolean): void {
    const key = attemptKey({ task, attempt });
    this.stops.set(key, { type: 'stop', task, attempt, kind, force });
    if (this.pending.has(key)) this.sendStop(key);
  }

  /** Its end is in the journal. */
  release({ task, attempt }: AttemptId): void {
    this.link?.send({ type: 'release', task, attempt });
  }

  /** Files of a spool are gone. */
  freed({ task, attempt }: AttemptId, before: number): void {
    this.link?.send({ type: 'freed', task, attempt, before });
  }

  /** Stops all processes where they stand. Answers whether they do. */
  async freeze(): Promise<boolean> {
    const link = await this.connected().catch(() => undefined);
    if (link === undefined) return false;
    const frozen = deferred<boolean>();
    this.frozen.push(frozen);
    link.send({ type: 'freeze' });
    return await frozen.promise;
  }

  /** Lets them go on. */
  thaw(): void {
    this.link?.send({ type: 'thaw' });
  }

  /** Goes away from the keeper. With `quit` it ends, unless something runs. */
  async close(quit: boolean): Promise<void> {
    this.closed = true;
    const link = this.link ?? (await this.opening?.catch(() => undefined));
    if (link === undefined) return;
    if (quit) await this.quit(link);
    link.close();
    await link.closed;
  }

  /** The keeper closes the connection when it has ended, or when something runs. */
  private async quit(link: KeeperLink): Promise<void> {
    link.send({ type: 'quit' });
    using _limit = this.options.clock.after(QUIT_MS, () => link.close());
    await link.closed;
  }

  private connected(): Promise<KeeperLink> {
    if (this.link !== undefined) return Promise.resolve(this.link);
    this.opening ??= this.open().finally(() => {
      this.opening = undefined;
    });
    return this.opening;
  }

  /** After an upgrade: a keeper of the version before is used only while something runs in it. */
  private async replaceOld(): Promise<void> {
    const { link } = this;
    if (link === undefined || link.version === this.options.version || this.pending.size > 0) return;
    this.link = undefined;
    await this.quit(link);
    link.close();
  }

  private async open(): Promise<KeeperLink> {
    const { clock, log, launch } = this.options;
    for (let killed = false; ; killed = true) {
      const deadline = clock.monotonic() + ANSWER_MS;
      let launched = false;
      while (clock.monotonic() < deadline) {
        const link = await this.dial();
        if (link !== undefined && (await this.greet(link, deadline))) return link;
        if (!launched && (await this.holder()) === undefined) {
          launched = true;
          await launch();
        }
        await clock.sleep(POLL_MS);
      }
      const holder = await this.holder();
      if (killed || holder === undefined || holder === process.pid) throw new Error('it does not answer');
      log.error('the keeper of tasks does not answer and is killed', { process: holder });
      signalProcess(holder, 'SIGKILL');
    }
  }

  /** Process that is the keeper. */
  private async holder(): Promise<number | undefined> {
    return (await lockHolder(join(this.options.stateDir, KEEPER_LOCK)))?.pid;
  }

  private dial(): Promise<KeeperLink | undefined> {
    return dialKeeper(this.options.stateDir);
  }

  /** One that speaks another version is of no use: it ends, and its attempts with it. */
  private async greet(link: KeeperLink, deadline: number): Promise<boolean> {
    const { hello, clock, log } = this.options;
    link.onMessage = (message) => this.receive(link, message);
    using _limit = clock.after(deadline - clock.monotonic(), () => link.close());
    const welcome = await link.greet({ type: 'hello', protocol: KEEPER_PROTOCOL, ...hello });
    if (welcome === undefined) return false;
    if (this.canUse(welcome)) return true;
    log.error('the keeper of tasks is of another version and is killed', { protocol: welcome.protocol });
    const holder = await this.holder();
    if (holder !== undefined && holder !== process.pid) signalProcess(holder, 'SIGKILL');
    link.close();
    return false;
  }

  /** One that does not know of users would run tasks as its own. */
  private canUse({ protocol, knowsUsers = false }: KeeperWelcome): boolean {
    return protocol === KEEPER_PROTOCOL && (knowsUsers || this.options.hello.settings.user === undefined);
  }

  /** What the keeper does not know any more is lost, and what nobody waits for is ended. */
  private adopt(link: KeeperLink, attempts: readonly KeptAttempt[]): void {
    this.link = link;
    void link.closed.then(() => this.broken(link));
    const kept = new Set(attempts.map(attemptKey));
    for (const key of [...this.pending.keys()]) if (!kept.has(key)) this.settle(key, { type: 'lost' });
    const first = this.found === undefined;
    this.found ??= attempts.map((attempt) => ({ attempt, end: this.follow(attempt) }));
    for (const attempt of attempts) this.adoptOne(attempt, first);
  }

  private adoptOne(attempt: KeptAttempt, first: boolean): void {
    const key = attemptKey(attempt);
    if (!first && !this.pending.has(key)) {
      void this.follow(attempt).then(() => this.release(attempt));
      this.stop(attempt, 'FORGOTTEN', true);
    } else this.sendStop(key);
    this.options.onOutput(attempt, attempt.end);
    if (attempt.record !== undefined) this.settle(key, { type: 'exited', record: attempt.record });
  }

  private sendStop(key: string): void {
    const stop = this.stops.get(key);
    if (stop !== undefined) this.link?.send(stop);
  }

  private broken(link: KeeperLink): void {
    if (this.link !== link) return;
    this.link = undefined;
    for (const frozen of this.frozen.splice(0)) frozen.resolve(false);
    if (this.closed) return;
    this.options.log.warn('the connection to the keeper of tasks broke');
    this.connected().catch((err: unknown) => {
      this.options.log.error('no keeper', { error: err });
      for (const key of [...this.pending.keys()]) this.settle(key, { type: 'lost' });
    });
  }

  private receive(link: KeeperLink, message: FromKeeper): void {
    switch (message.type) {
      case 'welcome':
        if (this.canUse(message)) this.adopt(link, message.attempts);
        break;
      case 'output':
        this.options.onOutput(message, message.end);
        break;
      case 'ended':
        this.options.onOutput(message, message.end);
        this.settle(attemptKey(message), { type: 'exited', record: message.record });
        break;
      case 'refused': {
        const { known, message: why } = message;
        this.settle(attemptKey(message), known ? { type: 'lost' } : { type: 'failed', message: why });
        break;
      }
      case 'frozen':
        this.frozen.shift()?.resolve(message.ok);
        break;
    }
  }

  private settle(key: string, end: KeptEnd): void {
    this.pending.get(key)?.resolve(end);
    this.pending.delete(key);
    this.stops.delete(key);
  }
}
