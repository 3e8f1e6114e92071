/** How much of what a run meets. */
export interface ChaosOptions {
  /** Decides tasks and faults. */
  readonly seed: number;
  readonly tasks: number;
  /** Tasks handed in a second; with `tasks` it decides how long the faults go on. */
  readonly rate: number;
  /** Agents that are processes behind a proxy. */
  readonly agents: number;
  /** Agents in machines of the local provider, which are snapshotted and restored. */
  readonly machines: number;
  readonly hubKills: number;
  readonly agentKills: number;
  /** Of the hub and of agents, by SIGSTOP. */
  readonly pauses: number;
  /** Everything that can happen to a connection. */
  readonly partitions: number;
  readonly restores: number;
  /** Only as root, who may mount a small file system. */
  readonly diskFulls: number;
  /** Whether a task has to survive the death of its agent. */
  readonly survival: boolean;
}

/** The short run: every kind of fault. */
export const SHORT: ChaosOptions = {
  seed: 1,
  tasks: 240,
  rate: 6,
  agents: 7,
  machines: 2,
  hubKills: 5,
  agentKills: 4,
  pauses: 4,
  partitions: 8,
  restores: 2,
  diskFulls: 1,
  survival: true,
};

/** The long run, whose counts are published. */
export const LONG: ChaosOptions = {
  seed: 1,
  // Some are refused on purpose.
  tasks: 5_200,
  rate: 8.4,
  agents: 16,
  machines: 4,
  hubKills: 100,
  agentKills: 50,
  pauses: 50,
  partitions: 50,
  restores: 20,
  diskFulls: 5,
  survival: true,
};

/** Options from variables of the environment (SEED, TASKS, HUB_KILLS, ...); a seed that is not given is random. */
export function optionsFrom(env: NodeJS.ProcessEnv, base: ChaosOptions): ChaosOptions {
  const given = Object.entries({ ...base, seed: Date.now() % 1_000_000 }).map(([key, fallback]) => {
    const text = env[key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()];
    if (text === undefined || text === '') return [key, fallback];
    return [key, typeof fallback === 'boolean' ? text !== '0' : numberOf(key, text)];
  });
  return Object.fromEntries(given) as ChaosOptions;
}

function numberOf(key: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${key}: must be a number from 0, not ${text}`);
  return value;
}
