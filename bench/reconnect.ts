import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench, BenchOptions, Figure } from './support/figures.js';
import { BenchHub, type Registered } from './support/hub.js';
import { median } from './support/rounds.js';
import { Worker } from './support/worker.js';
import type { LinkedAgents } from './workers/linked-agents.js';

/** How long the hub is away: longer than every pause between two attempts. */
const AWAY_MS = 4_000;
const LIMIT_MS = 120_000;
const POLL_MS = 20;

/** How soon a fleet is back after the hub was killed and started again. */
export const reconnect: Bench = { name: 'reconnect', about: 'agents that come back to a restarted hub', run };

async function run({ rounds, quick }: BenchOptions): Promise<Figure[]> {
  const few = await secondsUntilBack(20, quick ? 1 : Math.min(rounds, 3));
  const many = await secondsUntilBack(500, quick ? 1 : Math.min(rounds, 3));
  const figure = (agents: number, ours: number, atMost: number): Figure => ({
    what: `${agents} agents are back after a kill of the hub`,
    unit: 's',
    ours,
    goal: { of: 'ours', atMost },
    note: 'from the moment the hub answers; real links in one process; the hub says how widely to spread',
  });
  return [figure(20, few, 5), figure(500, many, 30)];
}

async function secondsUntilBack(count: number, rounds: number): Promise<number> {
  await using hub = await BenchHub.start();
  await using agents = await Worker.start<LinkedAgents>('linked-agents');
  const registered: Registered[] = [];
  for (let n = 0; n < count; n++) registered.push(await hub.register(`linked-${n}`));
  await agents.call('connect', registered);
  await allOnline(agents, count);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await hub.hub.crash();
    await sleep(AWAY_MS);
    await hub.hub.startAgain();
    const startMs = performance.now();
    await allOnline(agents, count);
    times.push((performance.now() - startMs) / 1000);
  }
  await agents.call('disconnect', undefined);
  return median(times);
}

async function allOnline(agents: Worker<LinkedAgents>, count: number): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (let online = 0; online < count; online = await agents.call('online', undefined)) {
    if (performance.now() > deadline) throw new Error(`only ${online} of ${count} agents came back`);
    await sleep(POLL_MS);
  }
}
