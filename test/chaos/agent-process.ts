import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningCommand, startCommand } from '../support/e2e/command.js';
import { ROOT } from '../support/e2e/hub-process.js';
import { TcpProxy } from '../support/proxy.js';

/** The built agent. */
const AGENT = join(ROOT, 'dist', 'agent', 'agent.mjs');

/** A real agent as a process of this host, connected to the door through a proxy of its own. */
export class AgentProcess {
  private command: RunningCommand;

  private constructor(
    readonly id: string,
    readonly proxy: TcpProxy,
    private readonly dir: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.command = this.spawn();
  }

  /** Starts an agent that keeps everything below `dir`. */
  static async start(agent: {
    id: string;
    token: string;
    doorPort: number;
    dir: string;
  }): Promise<AgentProcess> {
    const { id, token, doorPort } = agent;
    const dir = join(agent.dir, id);
    await mkdir(join(dir, 'home'), { recursive: true });
    const proxy = await TcpProxy.listen(doorPort);
    const config = { stateDir: join(dir, 'state'), home: join(dir, 'home'), capabilities: ['chaos'] };
    await writeFile(join(dir, 'config.json'), JSON.stringify(config));
    const door = `127.0.0.1:${proxy.port}`;
    const env = { PATH: process.env.PATH, AGENT_ID: id, AGENT_TOKEN: token, VM_AGENT_DOOR: door };
    return new AgentProcess(id, proxy, dir, env);
  }

  get pid(): number {
    return this.command.child.pid ?? -1;
  }

  /** What it said so far, since it was started last. */
  get said(): string {
    return this.command.stderr;
  }

  /** Ends it as a crash would. Resolves once it is gone. */
  async kill(): Promise<void> {
    this.command.child.kill('SIGKILL');
    await this.command.ended();
  }

  signal(signal: NodeJS.Signals): void {
    this.command.child.kill(signal);
  }

  /** Starts it again on the same state; does nothing while it runs. */
  startAgain(): void {
    const { exitCode, signalCode } = this.command.child;
    if (exitCode !== null || signalCode !== null) this.command = this.spawn();
  }

  /** Ends it politely. */
  async close(): Promise<void> {
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    await this.command.ended(30_000).catch(() => this.kill());
    await this.proxy.close();
  }

  private spawn(): RunningCommand {
    return startCommand(process.execPath, [AGENT, '--config', join(this.dir, 'config.json')], {
      env: this.env,
    });
  }
}
