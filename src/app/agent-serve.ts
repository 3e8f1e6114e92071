import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { Agent } from '../agent/agent.js';
import { type AgentConfig, ConfigError, type ConfigSources, loadAgentConfig } from '../agent/agent-config.js';
import { findKillScope, type KillScope } from '../agent/kill-scope.js';
import { openChannel } from '../agent/link/channel.js';
import { HubLink } from '../agent/link/hub-link.js';
import { taskCgroup } from '../agent/task-cgroup.js';
import { systemClock } from '../base/clock.js';
import { messageOf } from '../base/errno.js';
import { createJsonLogger, type Logger } from '../base/logger.js';
import { GuestHost } from './guest-host.js';
import { keeperLauncher } from './keeper-launcher.js';

/** Exit code for settings that cannot be used (sysexits EX_CONFIG). */
const EXIT_CONFIG = 78;
/** Exit code after SIGHUP: tasks go on, and the agent is to be started again (sysexits EX_TEMPFAIL). */
const EXIT_LEFT = 75;
/** For the hub to take the last reports before the agent leaves. */
const TELL_MS = 5000;
/** For the session to close when only the agent leaves. */
const LEAVE_MS = 500;
/** Settings of the agent that tasks must not see. */
const PRIVATE = ['AGENT_TOKEN', 'AGENT_CONFIG'];

/** Runs the agent until a signal ends it, or until the hub sends it away. Answers the exit code. */
export async function serveAgent(file: string | undefined, env: NodeJS.ProcessEnv): Promise<number> {
  const uid = process.getuid?.() ?? 0;
  try {
    return await new AgentProgram({ env, uid, ...(file === undefined ? {} : { file }) }).run();
  } catch (err) {
    process.stderr.write(`error: ${messageOf(err)}\n`);
    return err instanceof ConfigError ? EXIT_CONFIG : 1;
  }
}

/** What ends one life of the agent. */
type Ending = 'stopped' | 'left' | 'woken';

/**
 * The agent's process. Where a machine's memory is restored it goes on, but with a new agent: one that knows nothing
 * of what was before, has the identity that the host gives it, and opens its own connection.
 */
class AgentProgram {
  private readonly uid: number;
  private agent: Agent | undefined;
  private stop = new AbortController();
  private ending: Ending = 'stopped';
  private scope: KillScope | undefined;
  private signals = 0;

  constructor(private readonly sources: ConfigSources & { readonly uid: number }) {
    this.uid = sources.uid;
  }

  async run(): Promise<number> {
    let config = loadAgentConfig(this.sources);
    const log = loggerOf(config);
    const host = await GuestHost.open(config, log, () => this.wake());
    try {
      this.listenToSignals(log);
      for (;;) {
        await this.live(config, host, log);
        if (!this.endedBy('woken')) return this.endedBy('left') ? EXIT_LEFT : 0;
        config = loadAgentConfig(this.sources);
      }
    } finally {
      host?.close();
    }
  }

  /** From the start of an agent to its end. */
  private async live(config: AgentConfig, host: GuestHost | undefined, log: Logger): Promise<void> {
    this.ending = 'stopped';
    this.stop = new AbortController();
    const { signal } = this.stop;
    const { door, agentId, token } = config;
    // The connection is made while the agent gets ready.
    const dialed = openChannel({ door, agentId, token }, signal);
    dialed.catch(() => {});
    const agent = await this.createAgent(config, log);
    this.agent = agent;
    try {
      host?.started();
      const link = new HubLink({ door, agentId, token, side: agent, dialed, clock: systemClock, log });
      log.info('agent started', { door, version: packageJson.version, vmGeneration: config.vmGeneration });
      await link.run(signal);
      log.info('agent stopped', { ending: this.ending });
      if (this.endedBy('woken')) await agent.abandon();
    } finally {
      this.agent = undefined;
      await agent.close();
    }
  }

  /** The agent of this machine, with everything found out about it. */
  private async createAgent(config: AgentConfig, log: Logger): Promise<Agent> {
    const user = config.taskUser;
    const scope = await this.findScope(user !== undefined, log);
    await mkdir(config.home, { recursive: true });
    const baseEnv = environmentOfTasks(this.sources.env);
    return await Agent.start({
      config,
      version: packageJson.version,
      bootId: bootId(),
      scope,
      baseEnv,
      uid: user?.uid ?? this.uid,
      ...(user === undefined ? {} : { user }),
      node: process.execPath,
      launchKeeper: keeperLauncher(baseEnv),
      clock: systemClock,
      log,
    });
  }

  private async findScope(ofUser: boolean, log: Logger): Promise<KillScope> {
    if (this.scope !== undefined) return this.scope;
    const own = ofUser ? await taskCgroup(log) : undefined;
    const scope = own ?? (await findKillScope({ uid: this.uid }));
    const probeMs = Math.round(scope.startMs);
    log.info('processes of a task end with it', { killScope: scope.name, probeMs });
    this.scope = scope;
    return scope;
  }

  private endedBy(ending: Ending): boolean {
    return this.ending === ending;
  }

  /** The machine's memory was restored: the connection is of the past. */
  private wake(): void {
    if (this.signals > 0) return;
    this.ending = 'woken';
    this.stop.abort(new Error('the memory of this machine was restored'));
  }

  private listenToSignals(log: Logger): void {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => this.stopOn(name, log));
    process.on('SIGHUP', () => this.leave(log));
  }

  /** First signal: everything is ended and told. Second: at once. */
  private stopOn(name: string, log: Logger): void {
    this.signals += 1;
    log.info('agent is stopping', { signal: name });
    if (this.signals > 1) process.exit(1);
    void this.stopWithin(name);
  }

  private async stopWithin(name: string): Promise<void> {
    const abort = () => this.stop.abort(new Error(name));
    const closing = (await this.agent?.stop(TELL_MS).catch(() => false)) ?? false;
    if (closing) setTimeout(abort, TELL_MS).unref();
    else abort();
  }

  /** SIGHUP: the agent goes and its tasks stay, for an agent that is started next. */
  private leave(log: Logger): void {
    log.info('agent is leaving, tasks go on');
    this.signals += 1;
    this.ending = 'left';
    const abort = () => this.stop.abort(new Error('SIGHUP'));
    if (this.agent?.leave() === true) setTimeout(abort, LEAVE_MS).unref();
    else abort();
  }
}

function loggerOf({ logLevel, agentId }: AgentConfig): Logger {
  const write = (line: string) => void process.stderr.write(line);
  return createJsonLogger(write, { level: logLevel }).with({ agentId });
}

function environmentOfTasks(env: NodeJS.ProcessEnv): Record<string, string> {
  const entries = Object.entries(env).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const],
  );
  return Object.fromEntries(entries.filter(([key]) => !PRIVATE.includes(key)));
}

/** Changes with every boot; where the kernel does not tell, with every start of the agent. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return `start-${Date.now()}`;
  }
}
