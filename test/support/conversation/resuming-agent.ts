import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../../../src/agent/agent.js';
import { HubLink } from '../../../src/agent/link/hub-link.js';
import { type Clock, systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import { bestScope } from '../agent-harness.js';
import { AGENT } from './hub-scene.js';

/** Waits between two connections are cut short: what is tried here does not depend on them. */
const impatient: Clock = { ...systemClock, sleep: (_, signal) => systemClock.sleep(1, signal) };

/** The real agent with its real link, on a copy of a state directory. */
export class ResumingAgent {
  /** How often the link noticed that its connection was over. */
  get losses(): number {
    return this.lost.count;
  }

  private constructor(
    private readonly lost: { readonly count: number },
    private readonly dir: string,
    private readonly agent: Agent,
    private readonly running: Promise<void>,
    private readonly stopLink: AbortController,
  ) {}

  static async start(files: string, port: number, token: string): Promise<ResumingAgent> {
    const dir = mkdtempSync(join(tmpdir(), 'agent-'));
    const home = join(dir, 'home');
    mkdirSync(home);
    cpSync(files, join(dir, 'state'), { recursive: true });
    const stateDir = join(dir, 'state');
    const config = { agentId: AGENT, stateDir, vmGeneration: 1, home, allowSudo: false, capabilities: [] };
    const here = { uid: process.getuid?.() ?? 0, node: process.execPath, scope: await bestScope() };
    const parts = { clock: systemClock, log: silentLogger };
    const baseEnv = { PATH: process.env.PATH ?? '' };
    const agent = await Agent.start({ config, version: '1', bootId: 'b', baseEnv, ...here, ...parts });
    const lost = { count: 0 };
    const note = () => {
      lost.count += 1;
    };
    const log = { ...silentLogger, info: note, warn: note };
    const link = { door: `127.0.0.1:${port}`, agentId: AGENT, token, side: agent, log };
    const stopLink = new AbortController();
    const running = new HubLink({ ...link, clock: impatient }).run(stopLink.signal);
    return new ResumingAgent(lost, dir, agent, running, stopLink);
  }

  /** How often the command of the task ran here. */
  get runs(): number {
    const path = join(this.dir, 'home', 'ran');
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
  }

  /** Tells the hub all that there is, and leaves. */
  async close(): Promise<void> {
    if (!(await this.agent.stop(5000))) this.stopLink.abort(new Error('the agent is stopped'));
    await this.running;
    await this.agent.close();
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
