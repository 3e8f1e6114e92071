import { deferred } from './deferred.js';
import type { Wakeups } from './wakeups.js';

/** Resolves when `isSo` holds; it is asked now and after every wake-up. */
export async function until(wakeups: Wakeups, isSo: () => boolean): Promise<void> {
  if (isSo()) return;
  const done = deferred();
  using _listener = wakeups.listen(() => {
    if (isSo()) done.resolve();
  });
  await done.promise;
}
