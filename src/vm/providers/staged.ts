import type { StageName } from '../../model/vm.js';
import type { StageReport } from '../provider.js';

/** Does work as a stage: its beginning and its end, or why it failed, are reported. */
export async function staged<T>(
  report: StageReport,
  stage: StageName,
  detail: string,
  work: () => Promise<T>,
): Promise<T> {
  const done = report(stage, detail);
  try {
    const result = await work();
    done();
    return result;
  } catch (err) {
    done(err instanceof Error ? err.message : String(err));
    throw err;
  }
}
