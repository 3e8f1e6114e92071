import { expect } from 'chai';
import fc from 'fast-check';
import { emptyOutcome, isTerminal, type Task, type TerminalState } from '../../../src/model/task.js';
import { applyTaskEvent, type TaskEvent } from '../../../src/model/task-events.js';
import { sampleTask } from '../../support/samples.js';

const outcome = emptyOutcome('EXITED');
const TERMINAL: readonly TerminalState[] = ['SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT', 'LOST'];

const dispatch: TaskEvent = { type: 'dispatch', agent: 'a', atMs: 2 };
const started: TaskEvent = { type: 'started', attempt: 1, startMs: 3 };
const ended = (state: TerminalState, attempt = 1): TaskEvent => ({
  type: 'ended',
  attempt,
  state,
  endMs: 4,
  outcome,
});
const cancel: TaskEvent = { type: 'cancel', atMs: 5, outcome: emptyOutcome('CANCELLED') };
const play = (task: Task, ...events: readonly TaskEvent[]) => events.reduce(applyTaskEvent, task);

const anyEvent = fc.oneof(
  fc.constantFrom(dispatch, started, cancel),
  fc.record({ type: fc.constant('requeue' as const), attempt: fc.integer({ min: 0, max: 4 }) }),
  fc
    .tuple(fc.constantFrom(...TERMINAL), fc.integer({ min: 0, max: 4 }))
    .map(([state, attempt]) => ended(state, attempt)),
  fc
    .integer({ min: 0, max: 4 })
    .map((attempt): TaskEvent => ({ type: 'lose', fenced: true, attempt, atMs: 6, outcome })),
  fc.constant<TaskEvent>({ type: 'drop', atMs: 6, outcome }),
);

describe('applyTaskEvent', () => {
  it('takes a task from the queue to its end', () => {
    const task = play(sampleTask(), dispatch, started, ended('SUCCEEDED'));
    expect(task).to.include({ state: 'SUCCEEDED', attempt: 1, startMs: 3, endMs: 4, agent: 'a' });
    expect(task.outcome).to.equal(outcome);
  });

  it('never changes a terminal state, whatever comes', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
        let task: Task = sampleTask({ maxAttempts: 3 });
        for (const event of events) {
          const next = applyTaskEvent(task, event);
          if (isTerminal(task.state))
            expect({ ...next, lateOutcome: undefined }).to.deep.equal({ ...task, lateOutcome: undefined });
          expect(next.attempt).to.be.within(task.attempt, task.attempt + 1);
          task = next;
        }
        expect(isTerminal(task.state)).to.equal(task.outcome !== undefined);
        expect(isTerminal(task.state)).to.equal(task.endMs !== undefined);
      }),
    );
  });

  it('ignores what an older attempt says', () => {
    const second = play(sampleTask(), dispatch, { type: 'requeue', attempt: 1 }, dispatch);
    expect(second).to.include({ state: 'DISPATCHED', attempt: 2 });
    expect(applyTaskEvent(second, started)).to.equal(second);
    expect(applyTaskEvent(second, ended('SUCCEEDED'))).to.equal(second);
    expect(applyTaskEvent(second, { type: 'lose', fenced: true, attempt: 1, atMs: 9, outcome })).to.equal(
      second,
    );
  });

  it('goes back to the queue only from DISPATCHED, and a pooled task loses its agent', () => {
    const pooled = play(sampleTask({ pooled: true }), dispatch, { type: 'requeue', attempt: 1 });
    expect(pooled.state).to.equal('QUEUED');
    expect(pooled.agent).to.equal(undefined);
    const running = play(sampleTask(), dispatch, started);
    expect(applyTaskEvent(running, { type: 'requeue', attempt: 1 })).to.equal(running);
  });

  it('runs a failed task again until its attempts are used up', () => {
    const again = play(sampleTask({ maxAttempts: 2 }), dispatch, started, ended('FAILED'));
    expect(again.state).to.equal('QUEUED');
    expect(play(again, dispatch, ended('TIMED_OUT', 2)).state).to.equal('TIMED_OUT');
  });

  it('runs a lost task again only behind a fence, unless nothing of it can run', () => {
    const lose = (fenced: boolean): TaskEvent => ({ type: 'lose', attempt: 1, fenced, atMs: 4, outcome });
    const behind = play(sampleTask({ maxAttempts: 2 }), dispatch, started, lose(false));
    expect(behind).to.deep.include({ state: 'QUEUED', fence: { agent: 'a', attempt: 1 } });
    expect(applyTaskEvent(behind, dispatch), 'not before the fence is confirmed').to.equal(behind);
    const free = applyTaskEvent(behind, { type: 'fenced', attempt: 1 });
    expect(applyTaskEvent(free, dispatch)).to.include({ state: 'DISPATCHED', attempt: 2 });
    const known = play(sampleTask({ maxAttempts: 2 }), dispatch, started, lose(true));
    expect(applyTaskEvent(known, dispatch).state).to.equal('DISPATCHED');
    expect(play(sampleTask(), dispatch, started, lose(true)).state, 'no attempts left').to.equal('LOST');
  });

  it('takes a success that comes from behind the fence, and any other end as its confirmation', () => {
    const lose: TaskEvent = { type: 'lose', attempt: 1, fenced: false, atMs: 4, outcome };
    const behind = play(sampleTask({ maxAttempts: 2 }), dispatch, started, lose);
    expect(applyTaskEvent(behind, ended('SUCCEEDED'))).to.include({ state: 'SUCCEEDED', attempt: 1 });
    const killed = applyTaskEvent(behind, ended('CANCELLED'));
    expect(killed.state).to.equal('QUEUED');
    expect(killed.fence).to.equal(undefined);
  });

  it('keeps what comes late for a lost attempt as evidence, once', () => {
    const lose: TaskEvent = { type: 'lose', attempt: 1, fenced: false, atMs: 4, outcome };
    const task = play(sampleTask(), dispatch, started, lose, ended('SUCCEEDED'));
    expect(task).to.include({ state: 'LOST', lateOutcome: outcome });
    expect(applyTaskEvent(task, ended('FAILED'))).to.equal(task);
  });

  it('does not count an attempt that never started against the retries', () => {
    const requeued = play(
      sampleTask({ maxAttempts: 2 }),
      dispatch,
      { type: 'requeue', attempt: 1 },
      dispatch,
    );
    expect(play(requeued, ended('FAILED', 2)).state).to.equal('QUEUED');
  });

  it('ends a queued task at a cancel, and leaves a running one to its agent', () => {
    expect(play(sampleTask(), cancel).state).to.equal('CANCELLED');
    const running = play(sampleTask({ maxAttempts: 3 }), dispatch, started, cancel);
    expect(running).to.include({ state: 'RUNNING', cancelRequested: true });
    expect(play(running, ended('FAILED')).state, 'no retry after a cancel').to.equal('FAILED');
  });
});
