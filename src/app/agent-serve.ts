import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import packageJson from '../../package.json' with { type: 'json' };
import { Agent } from '../agent/agent.js';
import { type AgentConfig, ConfigError, loadAgentConfig } from '../agent/agent-config.js';
import { findKillScope } from '../agent/kill-scope.js';
import { HubLink } from '../agent/link/hub-link.js';
import { systemClock } from '../base/clock.js';
import { messageOf } from '../base/errno.js';
import { createJsonLogger, type Logger } from '../base/logger.js';
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
  try {
    return await serve(loadAgentConfig({ env, ...(file === undefined ? {} : { file }) }), env);
  } catch (err) {
    process.stderr.write(`error: ${messageOf(err)}\n`);
    return err instanceof ConfigError ? EXIT_CONFIG : 1;
  }
}

async function serve(config: AgentConfig, env: NodeJS.ProcessEnv): Promise<number> {
  const write = (line: string) => void process.stderr.write(line);
  const log = createJsonLogger(write, { level: config.logLevel }).with({ agentId: config.agentId });
  const agent = await createAgent(config, env, log);
  try {
    const { door, agentId, token } = config;
    const link = new HubLink({ door, agentId, token, side: agent, clock: systemClock, log });
    const stop = new AbortController();
    stopOnSignals(agent, stop, log);
    const left = leaveOnHangup(agent, stop, log);
    log.info('agent started', { door, version: packageJson.version });
    await link.run(stop.signal);
    log.info('agent stopped');
    return left.aborted ? EXIT_LEFT : 0;
  } finally {
    await agent.close();
  }
}

/** The agent of this machine, with everything found out about the host. */
async function createAgent(config: AgentConfig, env: NodeJS.ProcessEnv, log: Logger): Promise<Agent> {
  const uid = process.getuid?.() ?? 0;
  const scope = await findKillScope({ uid });
  log.info('processes of a task end with it', { killScope: scope.name, probeMs: Math.round(scope.startMs) });
  await mkdir(config.home, { recursive: true });
  return await Agent.start({
    config,
    version: packageJson.version,
    bootId: bootId(),
    scope,
    baseEnv: environmentOfTasks(env),
    uid,
    node: process.execPath,
    launchKeeper: keeperLauncher(environmentOfTasks(env)),
    clock: systemClock,
    log,
  });
}

/** First signal: everything is ended and told. Second: at once. */
function stopOnSignals(agent: Agent, stop: AbortController, log: Logger): void {
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals += 1;
    log.info('agent is stopping', { signal });
    if (signals > 1) process.exit(1);
    void stopWithin(agent, stop, signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/** SIGHUP: the agent goes and its tasks stay, for an agent that is started next. */
function leaveOnHangup(agent: Agent, stop: AbortController, log: Logger): AbortSignal {
  const left = new AbortController();
  process.on('SIGHUP', () => {
    log.info('agent is leaving, tasks go on');
    left.abort();
    const abort = () => stop.abort(new Error('SIGHUP'));
    if (agent.leave()) setTimeout(abort, LEAVE_MS).unref();
    else abort();
  });
  return left.signal;
}

async function stopWithin(agent: Agent, stop: AbortController, signal: string): Promise<void> {
  const abort = () => stop.abort(new Error(signal));
  const closing = await agent.stop(TELL_MS).catch(() => false);
  if (closing) setTimeout(abort, TELL_MS).unref();
  else abort();
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
