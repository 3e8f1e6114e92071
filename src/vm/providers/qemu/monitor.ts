import type { Clock } from '../../../base/clock.js';
import { KeyedMutex } from '../../../base/keyed-mutex.js';
import { HubError } from '../../../model/hub-error.js';
import { NODES } from './argv.js';
import { snapshotsOf, snapshotTag } from './disk.js';
import { connectQmp, type QmpClient } from './qmp-client.js';
import { JOB_MS, runJob } from './qmp-job.js';

/** One client at a time: QEMU lets a second one hang. */
const turns = new KeyedMutex();

/** What QEMU says of its machine. */
export interface MonitorStatus {
  /** Name that it was started with. */
  readonly name: string;
  /** Such as `running`, `paused`, `io-error`. */
  readonly status: string;
}

/** What is asked of the QEMU of one machine. Every call has a connection of its own. */
export class Monitor {
  constructor(
    private readonly path: string,
    private readonly machine: string,
  ) {}

  /** @throws HubError VM_FAILED when it cannot be asked, or is another machine's. */
  status(signal: AbortSignal): Promise<MonitorStatus> {
    return this.use({}, signal, async (client) => {
      const { status } = (await client.execute('query-status', {}, signal)) as { status: string };
      return { name: this.machine, status };
    });
  }

  /** Asks for the end of the machine. A guest that stands still cannot switch itself off; then false. */
  async end(command: 'system_powerdown' | 'quit', signal: AbortSignal): Promise<boolean> {
    const quick = { greetingMs: 2_000, commandMs: 2_000 };
    return this.use(quick, signal, async (client) => {
      if (command === 'system_powerdown') {
        const { status } = (await client.execute('query-status', {}, signal)) as { status: string };
        if (status !== 'running') return false;
      }
      await client.execute(command, {}, signal);
      return true;
    });
  }

  /** Lets a machine go on that stands still. */
  async resume(signal: AbortSignal): Promise<void> {
    await this.use({}, signal, (client) => client.execute('cont', {}, signal));
  }

  /** Makes the disk larger. */
  async growDisk(bytes: number, signal: AbortSignal): Promise<void> {
    const args = { 'node-name': NODES.root, size: bytes };
    await this.use({}, signal, (client) => client.execute('block_resize', args, signal));
  }

  /** Saves memory and disk; the machine stands still meanwhile. Answers the bytes of the memory. */
  async saveSnapshot(snapshot: string, clock: Clock, signal: AbortSignal): Promise<number> {
    await this.job('snapshot-save', snapshot, clock, signal);
    return (await this.snapshots(signal)).get(snapshot) ?? 0;
  }

  /** Loads memory and disk into a machine that was started paused. */
  loadSnapshot(snapshot: string, clock: Clock, signal: AbortSignal): Promise<void> {
    return this.job('snapshot-load', snapshot, clock, signal);
  }

  async deleteSnapshot(snapshot: string, clock: Clock, signal: AbortSignal): Promise<void> {
    if ((await this.snapshots(signal)).has(snapshot)) {
      await this.job('snapshot-delete', snapshot, clock, signal);
    }
  }

  /** Names of the snapshots in the disk, with the size of their memory. */
  snapshots(signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    return this.use({}, signal, async (client) => {
      const nodes = await client.execute('query-named-block-nodes', { flat: true }, signal);
      const list = nodes as { 'node-name'?: string; image?: { snapshots?: unknown } }[];
      return snapshotsOf(list.find((node) => node['node-name'] === NODES.root)?.image?.snapshots);
    });
  }

  private job(
    command: 'snapshot-save' | 'snapshot-load' | 'snapshot-delete',
    snapshot: string,
    clock: Clock,
    signal: AbortSignal,
  ): Promise<void> {
    const memory = command === 'snapshot-delete' ? {} : { vmstate: NODES.root };
    const args = { tag: snapshotTag(snapshot), devices: [NODES.root], ...memory };
    return this.use({ commandMs: JOB_MS }, signal, (client) =>
      runJob(client, { command, args }, clock, signal),
    );
  }

  private use<T>(
    options: { readonly greetingMs?: number; readonly commandMs?: number },
    signal: AbortSignal,
    work: (client: QmpClient) => Promise<T>,
  ): Promise<T> {
    return turns.run(this.path, async () => {
      signal.throwIfAborted();
      using client = await connectQmp(this.path, signal, options);
      const { name } = (await client.execute('query-name', {}, signal)) as { name?: string };
      if (name === this.machine) return await work(client);
      throw new HubError(
        'VM_FAILED',
        `the monitor of ${this.machine} belongs to ${name ?? 'another machine'}`,
      );
    });
  }
}
