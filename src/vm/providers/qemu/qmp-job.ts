import { onAbort } from '../../../base/abort.js';
import { Bell } from '../../../base/bell.js';
import type { Clock } from '../../../base/clock.js';
import { HubError } from '../../../model/hub-error.js';
import type { QmpClient } from './qmp-client.js';

/** Longest job: saving the memory of a large machine on a slow disk. QEMU answers nothing meanwhile. */
export const JOB_MS = 25 * 60_000;
/** How long a job that nobody wants any more is waited for. Such jobs cannot be cancelled half-way. */
const UNWANTED_MS = 60_000;
/** How often a job is looked at when QEMU tells nothing. */
const LOOK_MS = 250;

/** A job such as `snapshot-save`. */
export interface QmpJob {
  readonly command: string;
  readonly args: Readonly<Record<string, unknown>>;
}

interface JobRow {
  readonly id: string;
  readonly status: string;
  readonly error?: string;
}

/**
 * Runs a job of QEMU to its end. When the signal aborts, the job is still waited for, so that nothing is changed
 * afterwards.
 *
 * @throws HubError VM_FAILED with what QEMU says; the signal's reason when it aborted.
 */
export async function runJob(
  client: QmpClient,
  job: QmpJob,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const id = `vm-agent-${job.command}`;
  const limit = new AbortController();
  using _late = clock.after(JOB_MS, () => limit.abort(tooSlow(job)));
  let waits: Disposable | undefined;
  using _unwanted = onAbort(signal, (reason) => {
    waits = clock.after(UNWANTED_MS, () => limit.abort(reason));
  });
  try {
    await dismiss(client, id, clock, limit.signal);
    signal.throwIfAborted();
    await client.execute(job.command, { ...job.args, 'job-id': id }, limit.signal);
    const error = await concluded(client, id, clock, limit.signal);
    signal.throwIfAborted();
    if (error !== undefined) throw new HubError('VM_FAILED', `QEMU could not do ${job.command}: ${error}`);
  } finally {
    waits?.[Symbol.dispose]();
  }
}

/** Waits for the end of a job, and takes it off QEMU's list. Answers its error. */
async function concluded(
  client: QmpClient,
  id: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<string | undefined> {
  const bell = new Bell(signal);
  using _listener = client.onEvent(({ event }) => {
    if (event === 'JOB_STATUS_CHANGE') bell.ring();
  });
  for (;;) {
    bell.reset();
    const row = (await jobs(client, signal)).find((item) => item.id === id);
    if (row === undefined) return 'the job is gone';
    if (row.status === 'concluded') {
      await client.execute('job-dismiss', { id }, signal);
      return row.error;
    }
    using _timer = clock.after(LOOK_MS, () => bell.ring());
    await bell.wait();
  }
}

/** What a hub that is gone may have left. */
async function dismiss(client: QmpClient, id: string, clock: Clock, signal: AbortSignal): Promise<void> {
  if ((await jobs(client, signal)).some((row) => row.id === id)) {
    await concluded(client, id, clock, signal);
  }
}

async function jobs(client: QmpClient, signal: AbortSignal): Promise<readonly JobRow[]> {
  const rows = await client.execute('query-jobs', {}, signal);
  return Array.isArray(rows) ? (rows as JobRow[]) : [];
}

function tooSlow(job: QmpJob): HubError {
  return new HubError('VM_FAILED', `${job.command} took longer than ${JOB_MS / 60_000} minutes`);
}
