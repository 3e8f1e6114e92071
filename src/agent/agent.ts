import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runDetached } from '../base/detached.js';
import { Disposer } from '../base/disposer.js';
import { freshId } from '../base/fresh-id.js';
import { isLock, type LockFile, takeLock } from '../base/lock-file.js';
import { until } from '../base/until.js';
import type { Hello, HubFrame } from '../model/agent-protocol.js';
import { assertNever } from '../model/assert-never.js';
import { DEFAULT_LANE } from '../model/task.js';
import type { AgentOptions } from './agent-options.js';
import { type AgentParts, createParts } from './agent-parts.js';
import type { AttemptId } from './attempt-id.js';
import { HealthMeter } from './health.js';
import { attemptsForHello, reportsAfter } from './hello.js';
import { Journal } from './journal.js';
import type { Outbox } from './outbox.js';
import type { OutputQueue } from './output-queue.js';
import type { AgentSide, Session } from './session.js';

/** Version of the agent protocol. */
const PROTOCOL = 1;
/** Reports up to this size fit into any frame. */
const SMALL_REPORT_BYTES = 900 * 1024;
/** For what is killed to be gone; what is not is killed by the next agent's keeper. */
const ABANDON_MS = 5000;
/** A machine that was never told to go on does so by itself. */
const MAX_FROZEN_MS = 10 * 60_000;

/** The agent without its connection: it goes on working while the hub is gone. */
export class Agent implements AgentSide {
  readonly outbox: Outbox;
  readonly output: OutputQueue;
  private readonly health: HealthMeter;
  private readonly incarnation = freshId();
  private readonly disposer = new Disposer();
  private session: Session | undefined;
  private lastSessionGeneration = 0;
  private healthTimer: Disposable | undefined;
  private thawTimer: Disposable | undefined;
  private draining = false;

  private maxReportBytes = Number.POSITIVE_INFINITY;
  private stopping = false;
  private frozen = false;
  private leaving = false;

  private constructor(
    private readonly options: AgentOptions,
    private readonly journal: Journal,
    private readonly parts: AgentParts,
  ) {
    const { clock, config, scope } = options;
    const runningTasks = () => parts.runner.running;
    this.health = new HealthMeter({ home: config.home, killScope: scope.name, clock, runningTasks });
    this.outbox = parts.outbox;
    this.output = parts.output;
  }

  /**
   * Takes the state directory, and cleans up after an agent that crashed.
   *
   * @throws Error when another agent uses the directory.
   */
  static async start(options: AgentOptions): Promise<Agent> {
    const { config, clock, log } = options;
    const { stateDir } = config;
    await makeStateDir(stateDir, options.user !== undefined);
    const lock = await takeLock(join(stateDir, 'lock'));
    if (!isLock(lock))
      throw new Error(`another agent (process ${lock.pid}) uses the state directory ${stateDir}`);
    try {
      const path = join(stateDir, 'journal');
      const journal = await Journal.open({ path, vmGeneration: config.vmGeneration, clock, log });
      const agent = new Agent(options, journal, await createParts(options, journal));
      agent.adopt(lock);
      return agent;
    } catch (err) {
      await lock.close();
      throw err;
    }
  }

  hello(): Hello {
    const { config, bootId, version, scope } = this.options;
    return {
      agentId: config.agentId,
      incarnation: this.incarnation,
      bootId,
      vmGeneration: config.vmGeneration,
      journalId: this.journal.id,
      journalSequence: this.journal.sequence,
      version,
      protocol: PROTOCOL,
      capabilities: config.capabilities,
      attempts: attemptsForHello(this.journal, this.parts.runner.unrecorded()),
      killScope: scope.name,
      lastSessionGeneration: this.lastSessionGeneration,
    };
  }

  opened(session: Session): void {
    const { ackedSequence, outputs, outputWindowBytes, concurrency, healthIntervalMs } = session.welcome;
    this.session = session;
    this.lastSessionGeneration = session.welcome.sessionGeneration;
    this.thaw();
    this.parts.runner.acked(ackedSequence);
    this.output.windowBytes = outputWindowBytes;
    this.output.restart(outputs);
    this.outbox.reset(reportsAfter(this.journal, ackedSequence, this.maxReportBytes));
    this.parts.runner.setWidth(DEFAULT_LANE, concurrency);
    this.reportHealth(session, Math.max(100, healthIntervalMs));
  }

  received(frame: Exclude<HubFrame, { type: 'welcome' }>): void {
    switch (frame.type) {
      case 'assignment':
        this.parts.runner.assign(frame.assignment);
        break;
      case 'ack':
        this.parts.runner.acked(frame.sequence);
        this.output.progress.notify();
        break;
      case 'cancel':
        this.parts.runner.cancel(frame, frame.force);
        break;
      case 'forget':
        this.parts.runner.forget(frame);
        break;
      case 'drain':
        this.drain(frame.reconnectAfterMs);
        break;
      case 'openShell':
        if (this.session) this.parts.shells.start(this.session, frame.shell, frame.open);
        break;
      case 'prepare':
        this.freeze(frame.barrier);
        break;
      case 'resume':
        this.thaw();
        break;
      default:
        assertNever(frame);
    }
  }

  unreadable(id: AttemptId, message: string): void {
    this.parts.runner.refuse(id, message);
  }

  frameRefused(): void {
    this.maxReportBytes = SMALL_REPORT_BYTES;
  }

  closed(): void {
    this.session = undefined;
    this.healthTimer?.[Symbol.dispose]();
    this.outbox.reset([]);
    this.parts.shells.close();
    this.output.progress.notify();
  }

  /** How many tasks run. */
  get runningTasks(): number {
    return this.parts.runner.running;
  }

  /**
   * Ends what runs, and waits until the hub has been told, at most `tellMs`. What was not told is in the journal
   * and told by the next agent on this state directory. Answers whether a session is there that closes now.
   */
  async stop(tellMs: number): Promise<boolean> {
    this.stopping = true;
    this.thaw();
    this.parts.runner.stopAll();
    this.parts.shells.close();
    await until(this.parts.runner.ended, () => this.parts.runner.idle);
    if (this.session === undefined) return false;
    let late = false;
    using _limit = this.options.clock.after(tellMs, () => {
      late = true;
      this.output.progress.notify();
    });
    await until(this.output.progress, () => late || this.told || this.session === undefined);
    this.outbox.push({ type: 'goodbye', reason: 'the agent was stopped' });
    this.session?.close(-1);
    return this.session !== undefined;
  }

  /**
   * Ends this agent and not what runs: the next one on this state directory goes on with that. Answers whether a
   * session is there that closes now.
   */
  leave(): boolean {
    this.leaving = true;
    this.thaw();
    this.parts.runner.setHeld(true);
    this.session?.close(-1);
    return this.session !== undefined;
  }

  /**
   * Kills what runs, without letting it go on for a moment, and forgets it: the machine went back in time. The hub is
   * told nothing, and the keeper stays for the next agent.
   */
  async abandon(): Promise<void> {
    this.leaving = true;
    const { runner, shells } = this.parts;
    runner.forgetAll();
    shells.close();
    let late = false;
    using _limit = this.options.clock.after(ABANDON_MS, () => {
      late = true;
      runner.ended.notify();
    });
    await until(runner.ended, () => late || runner.idle);
  }

  /** Releases the state directory. The keeper ends too, unless something runs or this agent only leaves. */
  close(): Promise<void> {
    this.healthTimer?.[Symbol.dispose]();
    this.thawTimer?.[Symbol.dispose]();
    return this.disposer.close();
  }

  private get told(): boolean {
    return this.journal.all().length === 0 && this.output.drained;
  }

  private adopt(lock: LockFile): void {
    this.disposer.use(lock);
    this.disposer.use(this.journal);
    this.disposer.use(this.output);
    this.disposer.defer(() => this.parts.keeper.close(this.parts.runner.idle && !this.leaving));
    this.disposer.use(this.parts.shells);
  }

  private reportHealth(session: Session, intervalMs: number): void {
    if (this.session !== session) return;
    runDetached(this.options.log, 'health', async () => {
      const health = await this.health.measure();
      if (this.session === session) this.outbox.push({ type: 'health', health });
    });
    this.healthTimer = this.options.clock.after(intervalMs, () => this.reportHealth(session, intervalMs));
  }

  /** A negative time: everything is finished first, and the agent does not come back. */
  private drain(reconnectAfterMs: number): void {
    if (reconnectAfterMs >= 0) {
      this.session?.close(reconnectAfterMs);
      return;
    }
    if (this.draining) return;
    this.draining = true;
    runDetached(this.options.log, 'drain', async () => {
      await until(this.parts.runner.ended, () => this.parts.runner.idle);
      await until(this.output.progress, () => this.told);
      this.outbox.push({ type: 'goodbye', reason: 'drained' });
      this.session?.close(reconnectAfterMs);
    });
  }

  /** A barrier that does not hold is not answered: the hub waits in vain, and takes it back. */
  private freeze(barrier: string): void {
    const { clock, log } = this.options;
    this.frozen = true;
    this.parts.runner.setHeld(true);
    this.output.setPaused(true);
    this.thawTimer?.[Symbol.dispose]();
    this.thawTimer = clock.after(MAX_FROZEN_MS, () => this.thaw());
    runDetached(log, 'freeze', async () => {
      if (await this.parts.keeper.freeze()) this.outbox.push({ type: 'prepared', barrier });
      else log.warn('the tasks could not be frozen', { barrier });
    });
  }

  private thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.thawTimer?.[Symbol.dispose]();
    this.parts.keeper.thaw();
    this.output.setPaused(false);
    if (!this.stopping) this.parts.runner.setHeld(false);
  }
}

/** Everything in it is private. The way to files that belong to the tasks' user leads through it. */
async function makeStateDir(path: string, isWay: boolean): Promise<void> {
  const mode = isWay ? 0o711 : 0o700;
  await mkdir(path, { recursive: true, mode });
  if (isWay) await chmod(path, mode);
}
