/** Parameters of a fast-check property. */
export interface PropertyOptions {
  readonly numRuns: number;
  readonly seed: number;
  readonly path?: string;
}

/**
 * Parameters for a property: a new seed for every run, which a failure prints. `FC_SEED` and `FC_PATH`, as printed,
 * replay it; `FC_RUNS` is how often it is tried.
 */
export function propertyOptions(runs: number): PropertyOptions {
  const { FC_SEED, FC_PATH, FC_RUNS } = process.env;
  const path = FC_PATH === undefined ? {} : { path: FC_PATH };
  return { numRuns: Number(FC_RUNS ?? runs), seed: Number(FC_SEED ?? Date.now() % 2 ** 31), ...path };
}
