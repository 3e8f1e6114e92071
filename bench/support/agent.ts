import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../../test/support/e2e/hub-process.js';
import type { BenchHub } from './hub.js';

const ONLINE_MS = 15_000;
const JOURNAL_CLOCK = new URL('journal-clock.mjs', import.meta.url).href;

/** When the start of a task was durable, in milliseconds since 1970 with fractions. */
export interface Started {
  readonly task: string;
  readonly atMs: number;
}

/** The built agent program, started by hand with the secret that registering answered. */
export class BenchAgent implements AsyncDisposable {
  private constructor(
    private readonly child: ChildProcess,
    private readonly dir: string,
  ) {}

  /** Resolves when the hub has it online. */
  static async start(hub: BenchHub, agentId: string): Promise<BenchAgent> {
    const dir = await mkdtemp(join(tmpdir(), 'bench-agent-'));
    const registered = await hub.register(agentId);
    const config = join(dir, 'config.json');
    const settings = { ...registered, stateDir: join(dir, 'state'), home: dir, logLevel: 'error' };
    await writeFile(config, JSON.stringify(settings), { mode: 0o600 });
    const child = fork(join(ROOT, 'dist', 'agent', 'agent.mjs'), ['--config', config], {
      execArgv: ['--import', JOURNAL_CLOCK],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const agent = new BenchAgent(child, dir);
    await agent.untilOnline(hub, agentId);
    return agent;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Calls `listener` whenever the start of a task became durable. */
  onStarted(listener: (started: Started) => void): void {
    this.child.on('message', listener);
  }

  private async untilOnline(hub: BenchHub, agentId: string): Promise<void> {
    const deadline = Date.now() + ONLINE_MS;
    for (;;) {
      const { json } = await hub.hub.rest('GET', `/agents/${agentId}/status`);
      if (JSON.stringify(json).includes('"online"')) return;
      if (Date.now() > deadline) throw new Error(`the agent ${agentId} does not come`);
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.child, 'exit');
    if (this.child.kill('SIGTERM')) await ended;
    await rm(this.dir, { recursive: true, force: true });
  }
}
