import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, FIRST } from './cluster.js';
import type { Fault, FaultKind } from './faults.js';

const HEAL_POLL_MS = 500;
/** For a restore that is disturbed again and again, and for it alone when nothing else happens any more. */
const HEAL_LIMIT_MS = 900_000;

/** Lets the faults of a run happen, each at its moment; those of different kinds overlap. */
export class Injector {
  /** How many of each kind have happened. */
  readonly counts: Record<FaultKind['kind'], number> = {
    killHub: 0,
    killAgent: 0,
    pauseHub: 0,
    pauseAgent: 0,
    drop: 0,
    delay: 0,
    slow: 0,
    split: 0,
    cut: 0,
    halfClose: 0,
    restore: 0,
    fillDisk: 0,
  };

  /** What did not work though it had all the time that it needs. */
  readonly failures: string[] = [];

  constructor(
    private readonly cluster: Cluster,
    private readonly log: (line: string) => void,
  ) {}

  /** Resolves when all have happened and are over. */
  async run(faults: readonly Fault[], signal: AbortSignal): Promise<void> {
    const startMs = performance.now();
    const running: Promise<void>[] = [];
    for (const fault of faults) {
      await sleep(Math.max(0, startMs + fault.atMs - performance.now()), undefined, { signal });
      this.log(JSON.stringify(fault));
      running.push(
        this.inject(fault, signal).then(() => {
          this.counts[fault.kind] += 1;
        }),
      );
    }
    await Promise.all(running);
  }

  private async inject(fault: Fault, signal: AbortSignal): Promise<void> {
    const { cluster } = this;
    const wait = (ms: number) => sleep(ms, undefined, { signal });
    switch (fault.kind) {
      case 'killHub':
        return cluster.killHub(fault.backAfterMs);
      case 'killAgent':
        return cluster.killAgent(fault.agent, fault.backAfterMs);
      case 'pauseHub':
        return cluster.pauseHub(fault.forMs);
      case 'pauseAgent':
        return cluster.pauseAgent(fault.agent, fault.forMs);
      case 'restore':
        return cluster.onMachine(fault.machine, (machine) => this.restore(machine, fault.fresh, signal));
      case 'fillDisk':
        return cluster.fillDisk(fault.forMs);
      case 'cut':
        return cluster.onTheWay(fault.agent, async ({ proxy }) => {
          for (let n = 0; n < fault.times; n++) {
            proxy.cut();
            await wait(300);
          }
        });
      case 'halfClose':
        return cluster.onTheWay(fault.agent, async ({ proxy }) => proxy.halfClose(fault.direction));
      case 'drop':
        return cluster.onTheWay(fault.agent, async ({ proxy }) => {
          const { direction } = fault;
          proxy.setWay(direction === 'both' ? { kind: 'drop' } : { kind: 'drop', direction });
          await wait(fault.forMs);
        });
      default:
        return cluster.onTheWay(fault.agent, async ({ proxy }) => {
          proxy.setWay(fault);
          await wait(fault.forMs);
        });
    }
  }

  /** Takes a machine back, to a snapshot that was just taken while tasks ran or to the first one. */
  private async restore(machine: string, fresh: boolean, signal: AbortSignal): Promise<void> {
    const path = `/agents/${machine}/snapshots`;
    let snapshot = FIRST;
    if (fresh) {
      const name = `at-${Date.now()}`;
      const taken = await this.cluster.admin('POST', path, { name }).catch(() => undefined);
      if (taken?.status === 200) snapshot = name;
    }
    const deadline = Date.now() + HEAL_LIMIT_MS;
    for (;;) {
      const answer = await this.cluster
        .admin('POST', `${path}/${snapshot}:restore`, {})
        .catch(() => undefined);
      if (answer?.status === 200) break;
      this.log(`restore of ${machine}: ${answer?.status} ${answer?.text.slice(0, 300)}`);
      if (Date.now() > deadline) {
        this.failures.push(`${machine} cannot be restored: ${answer?.text}`);
        return;
      }
      await sleep(HEAL_POLL_MS, undefined, { signal });
    }
    if (snapshot !== FIRST) await this.cluster.admin('DELETE', `${path}/${snapshot}`).catch(() => undefined);
  }
}
