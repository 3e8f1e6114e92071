/** Measures once. */
export type Measure<T> = () => Promise<T>;

/** The middle value; the mean of the two in the middle when there is an even number. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** A percentile, interpolated. NaN when there are no values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = ((sorted.length - 1) * percent) / 100;
  const [low = Number.NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at % 1);
}

/** Measures everything in turn, several times, so that a slow moment of the machine hits all alike. */
export async function interleave<K extends string, T>(
  rounds: number,
  measures: Readonly<Record<K, Measure<T>>>,
): Promise<Record<K, T[]>> {
  const names = Object.keys(measures) as K[];
  const results = Object.fromEntries(names.map((name) => [name, [] as T[]])) as Record<K, T[]>;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) results[name].push(await measures[name]());
  }
  return results;
}

/** As {@link interleave}, and answers the medians. */
export async function medians<K extends string>(
  rounds: number,
  measures: Readonly<Record<K, Measure<number>>>,
): Promise<Record<K, number>> {
  const all = await interleave(rounds, measures);
  const entries = Object.entries<number[]>(all).map(([name, values]) => [name, median(values)]);
  return Object.fromEntries(entries) as Record<K, number>;
}
