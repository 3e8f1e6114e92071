import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { Journal } from '../../src/agent/journal.js';
import { systemClock } from '../../src/base/clock.js';
import { lockHolder } from '../../src/base/lock-file.js';
import { silentLogger } from '../../src/base/logger.js';
import { isAlive, signalProcess, start } from '../../src/base/process.js';
import { FakeAgentDoor } from './fake-agent-door.js';

/** CommonJS inside an ES module calls `require`. */
const BANNER = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`;

let bundle: Promise<string> | undefined;

/** The agent as one file, made once; it is removed with the process. */
function agentBundle(): Promise<string> {
  bundle ??= (async () => {
    const dir = mkdtempSync(join(tmpdir(), 'agent-bundle-'));
    process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
    const outfile = join(dir, 'agent.mjs');
    await build({
      entryPoints: ['src/app/agent-main.ts'],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node20',
      format: 'esm',
      external: ['@lydell/node-pty'],
      banner: { js: BANNER },
      logLevel: 'silent',
    });
    return outfile;
  })();
  return bundle;
}

/** A real agent with its keeper, as processes, and a scripted hub. */
export class AgentProgram {
  readonly dir = mkdtempSync(join(tmpdir(), 'program-'));
  readonly home = join(this.dir, 'home');
  readonly hub = new FakeAgentDoor();
  private child: ChildProcess | undefined;
  private sessions = 0;

  /** Starts the agent, again or for the first time; resolves when its session is open. */
  async start(): Promise<void> {
    this.sessions += 1;
    if (this.sessions === 1) await this.hub.listen();
    this.child = await this.launch();
    await this.hub.sessions(this.sessions);
  }

  /** Starts another process on the same state, and answers its exit code and signal. */
  async startSecond(): Promise<readonly unknown[]> {
    return await once(await this.launch(), 'exit');
  }

  /** Sends a signal to the agent and answers its exit code and signal. */
  async end(signal: NodeJS.Signals): Promise<readonly unknown[]> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return [];
    const exit = once(child, 'exit');
    child.kill(signal);
    return await exit;
  }

  private async launch(): Promise<ChildProcess> {
    mkdirSync(this.home, { recursive: true });
    const config = join(this.dir, 'config.json');
    const settings = { agentId: 'a', token: 's', door: this.hub.door, stateDir: 'state', home: this.home };
    writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
    const args = [await agentBundle(), '--config', config];
    return start(process.execPath, args, { stdio: 'ignore', env: { PATH: process.env.PATH } });
  }

  /** As a crash. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** Adds to the journal of an agent that does not run. */
  async writeDown(fact: Parameters<Journal['record']>[0]): Promise<void> {
    const path = join(this.dir, 'state', 'journal');
    const journal = await Journal.open({ path, vmGeneration: 1, clock: systemClock, log: silentLogger });
    await journal.record(fact);
    await journal.close();
  }

  /** A file in the home of the tasks, as text. */
  file(name: string): string {
    try {
      return readFileSync(join(this.home, name), 'utf8');
    } catch {
      return '';
    }
  }

  /** Process that is the keeper; undefined when there is none. */
  async keeperPid(): Promise<number | undefined> {
    return (await lockHolder(join(this.dir, 'state', 'keeper.lock')))?.pid;
  }

  /** Ends the keeper as a crash would. */
  async killKeeper(): Promise<void> {
    const pid = await this.keeperPid();
    if (pid === undefined) return;
    signalProcess(pid, 'SIGKILL');
    await eventually(() => !isAlive(pid));
  }

  async close(): Promise<void> {
    await this.end('SIGTERM');
    await this.killKeeper();
    this.hub.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Waits for something that nobody tells. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 10));
}
