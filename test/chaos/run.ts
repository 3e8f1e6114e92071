import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { check, type Violation } from '../support/history/check.js';
import { History } from '../support/history/evidence.js';
import { Cluster } from './cluster.js';
import { faultsOf } from './faults.js';
import { Injector } from './injector.js';
import { Load } from './load.js';
import { inParallel, Observer } from './observer.js';
import type { ChaosOptions } from './options.js';
import { tasksOf } from './tasks.js';

/** For the last tasks to end when all faults are over. */
const SETTLE_MS = 120_000;
const LOOKERS = 3;
const LOOK_PAUSE_MS = 40;

/** What came of a run. */
export interface ChaosReport {
  readonly options: ChaosOptions;
  readonly violations: readonly Violation[];
  readonly seconds: number;
  readonly counts: Injector['counts'];
  /** Ended tasks by state, and by reason for those that are LOST. */
  readonly ends: Readonly<Record<string, number>>;
  readonly rejected: number;
  readonly repeats: number;
  readonly markers: number;
  readonly evidence: number;
  readonly history: History;
}

/** Runs tasks on a real system that is broken all the time, and judges what came of it. */
export async function runChaos(options: ChaosOptions, log: (line: string) => void): Promise<ChaosReport> {
  const startMs = performance.now();
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const cluster = await Cluster.start(options);
  const closing = async () => {
    stopping.abort();
    await cluster.close();
  };
  let report: ChaosReport;
  try {
    const history = new History();
    const observer = await Observer.start(cluster, history);
    const load = new Load(cluster, history, stopping.signal);
    const injector = new Injector(cluster, log);
    const looking = lookAround(load, observer, stopping.signal);
    const tasks = tasksOf(options, cluster.names, cluster.marksDir);
    const possible = faultsOf(options).filter(({ kind }) => kind !== 'fillDisk' || cluster.ownDisk);
    if (options.diskFulls > 0 && !cluster.ownDisk) log('SKIPPED: full disks, which need root and mount');
    await Promise.all([load.run(tasks, options.rate), injector.run(possible, stopping.signal)]);
    log('all tasks are handed in and all faults are over');
    await settled(load, observer, log);
    stopping.abort();
    await looking;
    // What is stored is what a new hub reads.
    await cluster.killHub(0);
    await observer.finish([...load.ids.values()]);
    const lostReasons = ['RESTORED', ...(options.survival ? [] : ['AGENT_CRASHED'])];
    const failures = [...cluster.deaths, ...injector.failures, ...observer.failures];
    const failed = failures.map((what) => ({ rule: 'harness', task: '', what }));
    report = {
      options,
      violations: [...check(history, { lostReasons }), ...failed],
      seconds: Math.round((performance.now() - startMs) / 1000),
      counts: injector.counts,
      ends: endsOf(history),
      rejected: load.rejected,
      repeats: load.repeats,
      markers: history.evidence.filter(({ type }) => type === 'marker').length,
      evidence: history.length,
      history,
    };
  } catch (err) {
    await closing().catch((error: unknown) => log(String(error)));
    throw err;
  }
  const left = await closing().then(
    () => [],
    (err: unknown) => [{ rule: 'leftovers', task: '', what: String(err) }],
  );
  return { ...report, violations: [...report.violations, ...left] };
}

/** Reads tasks all the time, the ended ones too: what was shown must stay true. */
async function lookAround(load: Load, observer: Observer, signal: AbortSignal): Promise<void> {
  const looker = async (from: number) => {
    while (!signal.aborted) {
      const ids = [...load.ids.values()].slice(-400);
      for (let n = from; n < ids.length && !signal.aborted; n += LOOKERS) {
        const id = ids[n];
        if (id !== undefined) await observer.look(id);
        await sleep(LOOK_PAUSE_MS);
      }
      await sleep(LOOK_PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: LOOKERS }, (_, n) => looker(n)));
}

/** Resolves when every accepted task has ended, or when that takes too long; the checker tells which have not. */
async function settled(load: Load, observer: Observer, log: (line: string) => void): Promise<void> {
  const deadline = performance.now() + SETTLE_MS;
  const open = () => [...load.ids.values()].filter((id) => !observer.endedTasks.has(id));
  while (open().length > 0 && performance.now() < deadline) {
    await inParallel(open(), LOOKERS, async (id) => void (await observer.look(id)));
    await sleep(500);
  }
  log(`${open().length} tasks have not ended`);
}

function endsOf(history: History): Readonly<Record<string, number>> {
  const last = new Map<string, string>();
  for (const item of history.evidence) {
    if (item.type !== 'seen') continue;
    const { id, state, reason } = item.view;
    last.set(id, state === 'LOST' ? `${state} ${reason}` : state);
  }
  const counts: Record<string, number> = {};
  for (const state of last.values()) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
