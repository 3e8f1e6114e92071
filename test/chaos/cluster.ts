import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyedMutex } from '../../src/base/keyed-mutex.js';
import { createClient, type VmAgentClient } from '../../src/client/index.js';
import { runCommand } from '../support/e2e/command.js';
import { freePorts } from '../support/e2e/free-ports.js';
import { HubProcess, type RestAnswer } from '../support/e2e/hub-process.js';
import { AgentProcess } from './agent-process.js';
import type { ChaosOptions } from './options.js';

/** Visible in machines, unlike /tmp: what tasks write there is not taken back by a restore. */
const OUTSIDE = existsSync('/var/tmp') ? '/var/tmp' : '/dev/shm';
/** The snapshot that every machine has from the beginning. */
export const FIRST = 'first';
const DATA_DISK_MIB = 384;
/** For a hub that cannot start yet, such as on a full disk. */
const START_RETRY_MS = 500;
const GUARD_MS = 1000;
/** Characters of what the hub said last. */
const WORDS = 3000;
const START_LIMIT_MS = 90_000;

/** A real hub with real agents: some behind proxies, some in machines. */
export class Cluster {
  readonly agents: AgentProcess[] = [];
  readonly machines: string[] = [];
  readonly token: Promise<string>;
  /** Ends of the hub that nobody had asked for, with its last words. */
  readonly deaths: string[] = [];
  private readonly turns = new KeyedMutex();
  private readonly closing = new AbortController();
  private guard: Promise<void> | undefined;

  private constructor(
    readonly dir: string,
    readonly hub: HubProcess,
    private readonly doorPort: number,
    readonly ownDisk: boolean,
  ) {
    this.token = hub.token();
  }

  static async start(options: ChaosOptions): Promise<Cluster> {
    const dir = await mkdtemp(join(OUTSIDE, 'vm-agent-chaos-'));
    for (const name of ['hub', 'marks', 'disk']) await mkdir(join(dir, name));
    const [doorPort = 0] = await freePorts(1);
    const ownDisk = options.diskFulls > 0 && (await mountDisk(join(dir, 'disk')));
    // Not below the home: every machine of this host has this mount in its view.
    if (ownDisk) await symlink(join(dir, 'disk'), join(dir, 'hub', 'data'));
    const env = { VM_AGENT_DOOR: `127.0.0.1:${doorPort}` };
    const hub = await HubProcess.start({ home: join(dir, 'hub'), env });
    const cluster = new Cluster(dir, hub, doorPort, ownDisk);
    cluster.guard = cluster.guardHub();
    await cluster.addAgents(options).catch(async (err: unknown) => {
      await cluster.close();
      throw err;
    });
    return cluster;
  }

  /** Where tasks leave their markers: one file for each agent. */
  get marksDir(): string {
    return join(this.dir, 'marks');
  }

  get names(): readonly string[] {
    return [...this.agents.map(({ id }) => id), ...this.machines];
  }

  /** A client of the hub, which may be away at any time. */
  async client(): Promise<VmAgentClient> {
    return createClient({ address: this.hub.grpcAddress, token: await this.token });
  }

  /** Calls the REST door as the administrator. */
  async admin(method: string, path: string, body?: unknown): Promise<RestAnswer> {
    return this.hub.rest(method, path, body, { authorization: `Bearer ${await this.token}` });
  }

  /** Kills the hub and starts it again. */
  killHub(backAfterMs: number): Promise<void> {
    return this.turns.run('hub', async () => {
      await this.hub.crash();
      await sleep(backAfterMs);
      await this.startHub();
    });
  }

  pauseHub(forMs: number): Promise<void> {
    return this.turns.run('hub', () => paused(this.hub.pid, forMs));
  }

  killAgent(index: number, backAfterMs: number): Promise<void> {
    const agent = this.agent(index);
    return this.turns.run(agent.id, async () => {
      await agent.kill();
      await sleep(backAfterMs);
      agent.startAgain();
    });
  }

  pauseAgent(index: number, forMs: number): Promise<void> {
    const agent = this.agent(index);
    return this.turns.run(agent.id, () => paused(agent.pid, forMs));
  }

  /** Makes the way to an agent worse for a while. */
  onTheWay(index: number, work: (agent: AgentProcess) => Promise<void>): Promise<void> {
    const agent = this.agent(index);
    return this.turns.run(`${agent.id} proxy`, async () => {
      await work(agent);
      agent.proxy.heal();
    });
  }

  /** One operation on a machine at a time. */
  onMachine(index: number, work: (machine: string) => Promise<void>): Promise<void> {
    const machine = this.machines[index];
    if (machine === undefined) throw new Error(`there is no machine ${index}`);
    return this.turns.run(machine, () => work(machine));
  }

  /** Fills the hub's disk for a while. */
  fillDisk(forMs: number): Promise<void> {
    return this.turns.run('disk', async () => {
      const ballast = join(this.hub.home, 'data', 'ballast');
      await fill(ballast);
      await sleep(forMs);
      await rm(ballast, { force: true });
    });
  }

  /** Ends everything and removes it. */
  async close(): Promise<void> {
    this.closing.abort();
    await this.guard;
    for (const agent of this.agents) agent.signal('SIGCONT');
    await Promise.allSettled(this.agents.map((agent) => agent.close()));
    try {
      for (const name of this.machines) await this.destroy(name);
      await this.hub.stop().catch(() => undefined);
      await this.hub.close();
    } finally {
      await this.hub.crash();
      await killStarted(this.dir);
      if (this.ownDisk) await runCommand('umount', ['--lazy', join(this.dir, 'disk')]);
      await rm(this.dir, { recursive: true, force: true });
    }
  }

  /** A machine that the hub cannot destroy is one more thing left behind, and fails the run. */
  private async destroy(name: string): Promise<void> {
    const answer = await this.admin('DELETE', `/agents/${name}?force=true`);
    if (answer.status !== 200)
      throw new Error(`${name} cannot be destroyed: ${answer.status} ${answer.text}`);
  }

  private agent(index: number): AgentProcess {
    const agent = this.agents[index];
    if (!agent) throw new Error(`there is no agent ${index}`);
    return agent;
  }

  /** A hub that ends by itself is told, and started again so that the run goes on. */
  private async guardHub(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      await sleep(GUARD_MS, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await this.turns
        .run('hub', async () => {
          if (!this.hub.gone) return;
          this.deaths.push(`the hub ended by itself; its last words: ${this.hub.output.slice(-WORDS)}`);
          await this.startHub();
        })
        .catch((err: unknown) => this.deaths.push(`the hub cannot be started again: ${String(err)}`));
    }
  }

  private async startHub(): Promise<void> {
    const deadline = Date.now() + START_LIMIT_MS;
    for (;;) {
      try {
        return await this.hub.startAgain();
      } catch (err) {
        if (Date.now() > deadline) throw err;
        await this.hub.crash();
        await sleep(START_RETRY_MS);
      }
    }
  }

  private async addAgents({ agents, machines }: ChaosOptions): Promise<void> {
    for (let n = 0; n < agents; n++) {
      const id = `agent-${n}`;
      const answer = await this.admin('POST', '/agents/register', { agentId: id });
      const { doorPort } = this;
      const token = String(answer.at('token'));
      this.agents.push(await AgentProcess.start({ id, token, doorPort, dir: join(this.dir, 'agents') }));
    }
    for (let n = 0; n < machines; n++) {
      const id = `machine-${n}`;
      await this.hub.ok(['create', id, '--provider', 'local']);
      this.machines.push(id);
      const taken = await this.admin('POST', `/agents/${id}/snapshots`, { name: FIRST });
      if (taken.status !== 200) throw new Error(`${id} has no snapshot: ${taken.text}`);
    }
  }
}

/** A process stands still for a while. */
async function paused(pid: number, forMs: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  try {
    await sleep(forMs);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

/** Kills what was started for a directory: its path stands in the command line or the environment. */
async function killStarted(dir: string): Promise<void> {
  for (const pid of (await readdir('/proc')).map(Number)) {
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const texts = ['cmdline', 'environ'].map((name) =>
      readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => ''),
    );
    const words = (await Promise.all(texts)).join('\0').split('\0');
    if (words.some((word) => word.includes(`${dir}/`))) kill(pid);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

async function mountDisk(dir: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const options = ['-t', 'tmpfs', '-o', `size=${DATA_DISK_MIB}m,mode=700`, 'chaos', dir];
  return (await runCommand('mount', options)).exitCode === 0;
}

/** Writes a file until nothing more fits. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let block = Buffer.alloc(1024 * 1024); block.length >= 512; ) {
      const written = await file.write(block).then(
        ({ bytesWritten }) => bytesWritten,
        () => 0,
      );
      if (written < block.length) block = block.subarray(0, Math.floor(block.length / 2));
    }
  } finally {
    await file.close();
  }
}
