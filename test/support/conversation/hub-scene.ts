import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/base/logger.js';
import { createAgentDoor } from '../../../src/rpc/agent-door.js';
import type { RpcServer } from '../../../src/rpc/operator-server.js';
import { HubHarness } from '../hub-harness.js';
import { execSpec } from '../samples.js';

/** The agent and the task of every conversation. */
export const AGENT = 'a';
export const TASK = 't';
/** What the task writes, and what shows that it ran. */
export const STDOUT = ['one\n', 'two\n'] as const;
export const STDERR = 'err\n';
const COMMAND = "printf 'one\\n'; printf 'err\\n' >&2; printf 'two\\n'; echo ran >> ran";

/** Files of a hub in which an agent has one task waiting. */
export interface HubTemplate {
  readonly dir: string;
  readonly token: string;
}

/** Makes the files that every {@link HubScene} begins with. */
export async function makeTemplate(): Promise<HubTemplate> {
  const harness = await HubHarness.start();
  const { token } = await harness.hub.agents.register(AGENT, {});
  await harness.post(AGENT, { id: TASK, spec: execSpec(COMMAND) });
  await harness.stop();
  return { dir: harness.dir, token };
}

/** A hub behind its real agent door, in the same state as every other one of its template. */
export class HubScene {
  private constructor(
    readonly harness: HubHarness,
    readonly door: RpcServer,
    readonly port: number,
  ) {}

  static async open({ dir }: HubTemplate): Promise<HubScene> {
    const home = mkdtempSync(join(tmpdir(), 'hub-'));
    cpSync(dir, home, { recursive: true });
    const harness = await HubHarness.start({}, home);
    const door = createAgentDoor({ hub: harness.hub, log: silentLogger });
    return new HubScene(harness, door, await door.listen('127.0.0.1:0'));
  }

  /** Resolves when the task was handed to the agent. */
  async assigned(signal: AbortSignal): Promise<void> {
    for await (const { state } of this.harness.hub.tasks.watch(TASK, signal)) if (state !== 'QUEUED') return;
  }

  /** Everything that a caller can see of the task, and of the agent once it is gone. */
  async facts() {
    const { hub } = this.harness;
    const { task, attempts } = await hub.tasks.get(TASK);
    const { record, state, currentTasks } = await hub.agents.get(AGENT);
    const ends = (await hub.admin.metrics()).text.match(/^vm_agent_tasks_total\{.*$/gm) ?? [];
    const written = { STDOUT: '', STDERR: '', GAP: '' };
    const query = { scope: { task: TASK }, follow: false, format: 'BYTES', streams: [] } as const;
    for await (const entry of hub.logs.stream(query, AbortSignal.timeout(5000)))
      written[entry.gapBytes > 0 ? 'GAP' : entry.stream] += Buffer.from(entry.data ?? []).toString();
    return { task, attempts, record, state, currentTasks, ends, written };
  }

  async close(): Promise<void> {
    await this.door.close({ graceMs: 2000 });
    await this.harness.stop();
    rmSync(this.harness.dir, { recursive: true });
  }
}
