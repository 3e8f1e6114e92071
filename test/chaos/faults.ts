import { Random } from '../support/random.js';
import type { ChaosOptions } from './options.js';

/** Something bad that happens at a moment of the run. */
export type Fault = { readonly atMs: number } & FaultKind;

export type FaultKind =
  | { readonly kind: 'killHub'; readonly backAfterMs: number }
  | { readonly kind: 'killAgent'; readonly agent: number; readonly backAfterMs: number }
  | { readonly kind: 'pauseHub'; readonly forMs: number }
  | { readonly kind: 'pauseAgent'; readonly agent: number; readonly forMs: number }
  | {
      readonly kind: 'drop';
      readonly agent: number;
      readonly direction: 'up' | 'down' | 'both';
      readonly forMs: number;
    }
  | { readonly kind: 'delay'; readonly agent: number; readonly ms: number; readonly forMs: number }
  | { readonly kind: 'slow'; readonly agent: number; readonly bytesPerSecond: number; readonly forMs: number }
  | { readonly kind: 'split'; readonly agent: number; readonly bytes: number; readonly forMs: number }
  | { readonly kind: 'cut'; readonly agent: number; readonly times: number }
  | { readonly kind: 'halfClose'; readonly agent: number; readonly direction: 'up' | 'down' }
  | { readonly kind: 'restore'; readonly machine: number; readonly fresh: boolean }
  | { readonly kind: 'fillDisk'; readonly forMs: number };

/** All faults of a run, in order. The seed and the counts decide them alone. */
export function faultsOf(options: ChaosOptions): readonly Fault[] {
  const spanMs = (options.tasks / options.rate) * 1000;
  const many = (purpose: string, count: number, make: (random: Random) => FaultKind): Fault[] => {
    const random = Random.for(options.seed, purpose);
    // One in each part of the run, at any moment of it.
    return Array.from({ length: count }, (_, n) => ({
      atMs: Math.round(((n + random.next()) / count) * spanMs),
      ...make(random),
    }));
  };
  const agent = (random: Random) => random.int(0, options.agents - 1);
  return [
    ...many('hub kills', options.hubKills, (random) => ({
      kind: 'killHub',
      backAfterMs: random.pick([0, 0, 200, 1000, 3000]),
    })),
    ...many('agent kills', options.agentKills, (random) => ({
      kind: 'killAgent',
      agent: agent(random),
      backAfterMs: random.pick([0, 0, 500, 2000, 6000]),
    })),
    ...many('pauses', options.pauses, (random) => pauseOf(random, agent(random))),
    ...many('partitions', options.partitions, (random) => partitionOf(random, agent(random))),
    ...many('restores', options.restores, (random) => ({
      kind: 'restore',
      machine: random.int(0, Math.max(0, options.machines - 1)),
      fresh: random.chance(0.6),
    })),
    ...many('full disks', options.diskFulls, (random) => ({
      kind: 'fillDisk',
      forMs: random.int(1000, 5000),
    })),
  ].sort((a, b) => a.atMs - b.atMs);
}

function pauseOf(random: Random, agent: number): FaultKind {
  const forMs = random.pick([200, 1000, 4000, 9000, 14_000]);
  if (random.chance(0.3)) return { kind: 'pauseHub', forMs: Math.min(forMs, 9000) };
  return { kind: 'pauseAgent', agent, forMs };
}

function partitionOf(random: Random, agent: number): FaultKind {
  const forMs = random.pick([500, 2000, 6000, 15_000]);
  switch (random.int(0, 6)) {
    case 0:
      return { kind: 'drop', agent, direction: 'both', forMs };
    case 1:
      return { kind: 'drop', agent, direction: random.pick(['up', 'down'] as const), forMs };
    case 2:
      return { kind: 'delay', agent, ms: random.pick([20, 100, 400]), forMs };
    case 3:
      return { kind: 'slow', agent, bytesPerSecond: random.pick([200, 2000, 20_000]), forMs };
    case 4:
      return { kind: 'split', agent, bytes: random.pick([1, 7, 100]), forMs };
    case 5:
      return { kind: 'halfClose', agent, direction: random.pick(['up', 'down'] as const) };
    default:
      return { kind: 'cut', agent, times: random.int(1, 6) };
  }
}
