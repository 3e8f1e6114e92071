import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../../src/agent/agent.js';
import type { AgentOptions } from '../../src/agent/agent-options.js';
import { type AttemptId, attemptKey } from '../../src/agent/attempt-id.js';
import { Journal } from '../../src/agent/journal.js';
import { findKillScope, type KillScope } from '../../src/agent/kill-scope.js';
import { HubLink } from '../../src/agent/link/hub-link.js';
import { SpoolWriter } from '../../src/agent/spool-writer.js';
import { systemClock } from '../../src/base/clock.js';
import { silentLogger } from '../../src/base/logger.js';
import { FakeAgentDoor } from './fake-agent-door.js';

let scope: Promise<KillScope> | undefined;

/** The best kill scope of this host, found once. */
export function bestScope(): Promise<KillScope> {
  scope ??= findKillScope({ uid: process.getuid?.() ?? 0 });
  return scope;
}

/** A real agent connected to a scripted hub, on temporary directories. */
export class AgentHarness {
  readonly dir = mkdtempSync(join(tmpdir(), 'agent-'));
  readonly home = mkdtempSync(join(tmpdir(), 'home-'));
  readonly hub = new FakeAgentDoor();
  private agent: Agent | undefined;
  private journalId = '';
  private stopLink = new AbortController();
  private running: Promise<void> | undefined;

  /** Listens and starts an agent; resolves when its session is open. */
  async start(options: Partial<AgentOptions> = {}): Promise<void> {
    await this.hub.listen();
    await this.startAgent(options);
    await this.hub.sessions(1);
  }

  /** Starts an agent on the same state directory. */
  async startAgent(
    options: Partial<AgentOptions> = {},
    settings: Partial<AgentOptions['config']> = {},
  ): Promise<Agent> {
    const config = {
      agentId: 'my-agent',
      stateDir: this.dir,
      vmGeneration: 1,
      home: this.home,
      allowSudo: true,
      capabilities: ['git'],
      ...settings,
    };
    this.agent = await Agent.start({
      config,
      version: '0.0.0',
      bootId: 'boot',
      scope: await bestScope(),
      baseEnv: { PATH: process.env.PATH ?? '' },
      uid: process.getuid?.() ?? 0,
      node: process.execPath,
      clock: systemClock,
      log: silentLogger,
      ...options,
    });
    this.connect(this.agent);
    return this.agent;
  }

  /** The agent ends as at SIGTERM. */
  async stopAgent(): Promise<void> {
    const closing = (await this.agent?.stop(2000)) ?? false;
    if (!closing) this.stopLink.abort(new Error('the test is over'));
    await this.running;
    await this.agent?.close();
    this.agent = undefined;
  }

  /** The agent's link breaks and does not come back; the agent goes on, with what it had on disk as it was. */
  async disconnect(): Promise<void> {
    this.stopLink.abort(new Error('the test is over'));
    await this.running;
  }

  async close(): Promise<void> {
    await this.stopAgent();
    this.hub.close();
    rmSync(this.dir, { recursive: true, force: true });
    rmSync(this.home, { recursive: true, force: true });
  }

  /** Ends the agent and leaves its directory as after a crash: an attempt that was started and wrote something. */
  async crashWith(id: AttemptId, output: string): Promise<void> {
    await this.stopAgent();
    const options = {
      path: join(this.dir, 'journal'),
      vmGeneration: 1,
      clock: systemClock,
      log: silentLogger,
    };
    const journal = await Journal.open(options);
    this.journalId = journal.id;
    await journal.record({ ...id, state: 'RUNNING', startMs: 1 });
    await journal.close();
    const dir = join(this.dir, 'spool', attemptKey(id));
    const spool = new SpoolWriter(dir);
    spool.append('STDOUT', Buffer.from(output), 1);
    spool.close();
  }

  /** The mark of an attempt after {@link crashWith}. */
  markOf(task: string): string {
    return `${this.journalId}/${attemptKey({ task, attempt: 1 })};`;
  }

  /** Connects an agent to the hub. */
  connect(side: Agent): void {
    this.stopLink = new AbortController();
    const { door } = this.hub;
    const link = new HubLink({
      door,
      agentId: 'my-agent',
      token: 'secret',
      side,
      clock: systemClock,
      log: silentLogger,
    });
    this.running = link.run(this.stopLink.signal);
  }
}
