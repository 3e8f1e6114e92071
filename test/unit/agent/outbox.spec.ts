import { expect } from 'chai';
import { attemptsForHello, reportsAfter } from '../../../src/agent/hello.js';
import type { Journal, JournalEntry } from '../../../src/agent/journal.js';
import { Outbox } from '../../../src/agent/outbox.js';
import type { AttemptReport } from '../../../src/model/agent-protocol.js';
import { emptyOutcome } from '../../../src/model/task.js';

const report = (task: string, sequence: number): AttemptReport => ({
  task,
  attempt: 1,
  state: 'RUNNING',
  sequence,
});

function ended(task: string, sequence: number, contentBytes: number): AttemptReport {
  const result = { content: 'x'.repeat(contentBytes) };
  return { task, attempt: 1, state: 'SUCCEEDED', sequence, outcome: { ...emptyOutcome('EXITED'), result } };
}

const journalOf = (entries: readonly JournalEntry[]) => ({ all: () => entries }) as unknown as Journal;

describe('Outbox', () => {
  it('sends small frames before reports, and reports in order', () => {
    const outbox = new Outbox();
    outbox.report(report('a', 1));
    outbox.report(report('b', 2));
    outbox.push({ type: 'prepared', barrier: 'x' });
    const frames = [outbox.next(), outbox.next(), outbox.next(), outbox.next()];
    expect(frames[0]).to.deep.equal({ type: 'prepared', barrier: 'x' });
    expect(frames.slice(1)).to.deep.equal([
      { type: 'report', report: report('a', 1) },
      { type: 'report', report: report('b', 2) },
      undefined,
    ]);
  });

  it('forgets with a new session what was meant for the one before', () => {
    const outbox = new Outbox();
    outbox.push({ type: 'prepared', barrier: 'x' });
    outbox.report(report('a', 1));
    outbox.reset([report('b', 2)]);
    expect(outbox.next()).to.deep.equal({ type: 'report', report: report('b', 2) });
    expect(outbox.empty).to.equal(true);
  });
});

describe('attemptsForHello', () => {
  it('tells large ends only as starts, so that the frame stays small', () => {
    const journal = journalOf([
      { started: report('small', 1), ended: ended('small', 2, 10) },
      { started: report('large', 3), ended: ended('large', 4, 600_000) },
    ]);
    const told = attemptsForHello(journal, [{ task: 'waits', attempt: 1 }]);
    expect(told.map(({ task, state }) => `${task} ${state}`)).to.deep.equal([
      'small SUCCEEDED',
      'large RUNNING',
      'waits DISPATCHED',
    ]);
  });
});

describe('reportsAfter', () => {
  const journal = journalOf([
    { started: report('a', 1), ended: ended('a', 3, 5000) },
    { started: report('b', 2) },
  ]);

  it('answers unacknowledged reports in the order of the journal', () => {
    const sequences = reportsAfter(journal, 1, 1e9).map(({ sequence }) => sequence);
    expect(sequences).to.deep.equal([2, 3]);
  });

  it('leaves a result out that no frame can carry', () => {
    const last = reportsAfter(journal, 2, 1000)[0];
    expect(last?.state).to.equal('FAILED');
    expect(last?.outcome?.reason).to.equal('RESULT_TOO_LARGE');
    expect(last?.outcome).not.to.have.property('result');
  });
});
