import type { AttemptReport } from '../model/agent-protocol.js';
import type { AttemptId } from './attempt-id.js';
import type { Journal, JournalEntry } from './journal.js';

const MAX_ATTEMPTS = 10_000;
/** A frame is at most 2 MiB; what does not fit here is told after Welcome. */
const MAX_OUTCOME_BYTES = 512 * 1024;

/**
 * What Hello says of attempts: those of the journal in its order, then those that it does not know yet, for what is
 * not told is run again. Outcomes that do not fit are left out, and such an attempt is told as it was before its end;
 * its report follows after Welcome.
 */
export function attemptsForHello(
  journal: Journal,
  unrecorded: readonly AttemptId[],
): readonly AttemptReport[] {
  let room = MAX_OUTCOME_BYTES;
  const told = journal.all().map((entry) => {
    const size = entry.ended === undefined ? 0 : sizeOf(entry.ended);
    if (size > room) return beforeEnd(entry);
    room -= size;
    return entry.ended ?? entry.started;
  });
  const queued = unrecorded.map((id): AttemptReport => ({ ...id, state: 'DISPATCHED', sequence: 0 }));
  return [...told.flatMap((report) => (report ? [report] : [])), ...queued].slice(0, MAX_ATTEMPTS);
}

/** Reports behind a position, oldest first. The result of one that is larger than `maxBytes` is left out. */
export function reportsAfter(journal: Journal, sequence: number, maxBytes: number): readonly AttemptReport[] {
  return journal
    .all()
    .flatMap(({ started, ended }) => [started, ended].flatMap((report) => (report ? [report] : [])))
    .filter((report) => report.sequence > sequence)
    .sort((a, b) => a.sequence - b.sequence)
    .map((report) => (sizeOf(report) > maxBytes ? withoutResult(report) : report));
}

function sizeOf(report: AttemptReport): number {
  return Buffer.byteLength(JSON.stringify(report));
}

function withoutResult(report: AttemptReport): AttemptReport {
  if (report.outcome === undefined) return report;
  const { result: _, ...rest } = report.outcome;
  const message = 'the result is too large for the hub';
  return { ...report, state: 'FAILED', outcome: { ...rest, reason: 'RESULT_TOO_LARGE', message } };
}

function beforeEnd({ started, ended }: JournalEntry): AttemptReport | undefined {
  if (started !== undefined || ended === undefined) return started;
  return { task: ended.task, attempt: ended.attempt, state: 'DISPATCHED', sequence: 0 };
}
