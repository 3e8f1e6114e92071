import { expect } from 'chai';
import fc from 'fast-check';
import {
  emptyOutcome,
  isTerminal,
  type Task,
  type TaskState,
  type TerminalState,
} from '../../../src/model/task.js';
import { applyTaskEvent, type TaskEvent } from '../../../src/model/task-events.js';
import { propertyOptions } from '../../support/property.js';
import { sampleTask } from '../../support/samples.js';

/** What the rules of the contract say of a task, without how it is built. */
interface Model {
  state: TaskState;
  attempt: number;
  failures: number;
  cancelling: boolean;
  /** An attempt that was given up and may still run. */
  fence: number | undefined;
  /** Whether the end of an attempt that was given up came late and is kept. */
  late: boolean;
  readonly maxAttempts: number;
}
interface Real {
  task: Task;
}

const outcome = emptyOutcome('EXITED');
const ENDS: readonly TerminalState[] = ['SUCCEEDED', 'FAILED', 'CANCELLED', 'TIMED_OUT', 'LOST'];

/** One event: when the contract lets it change the task, what it does to the model, and how it is applied. */
class Step implements fc.Command<Model, Real> {
  constructor(
    private readonly title: string,
    private readonly event: (model: Model) => TaskEvent,
    private readonly expected: (model: Model) => boolean,
    private readonly advance: (model: Model) => void,
  ) {}

  check(): boolean {
    return true;
  }

  run(model: Model, real: Real): void {
    const before = real.task;
    real.task = applyTaskEvent(before, this.event(model));
    if (this.expected(model)) this.advance(model);
    else expect(real.task, `${this.title} changes nothing`).to.equal(before);
    expect({
      state: real.task.state,
      attempt: real.task.attempt,
      failures: real.task.failedRuns,
      cancelling: real.task.cancelRequested,
      fence: real.task.fence?.attempt,
      late: real.task.lateOutcome !== undefined,
    }).to.deep.equal({
      state: model.state,
      attempt: model.attempt,
      failures: model.failures,
      cancelling: model.cancelling,
      fence: model.fence,
      late: model.late,
    });
    expect(isTerminal(model.state)).to.equal(real.task.outcome !== undefined);
  }

  toString(): string {
    return this.title;
  }
}

const inHand = ({ state }: Model) => state === 'DISPATCHED' || state === 'RUNNING';

const dispatch = () =>
  new Step(
    'dispatch',
    () => ({ type: 'dispatch', agent: 'a', atMs: 2 }),
    ({ state, fence }) => state === 'QUEUED' && fence === undefined,
    (model) => {
      model.state = 'DISPATCHED';
      model.attempt += 1;
    },
  );

/** Reports speak of the current attempt, or of one that lies `back` attempts back. */
const about = (model: Model, back: number) => model.attempt - back;

const requeue = (back: number) =>
  new Step(
    `requeue(${back})`,
    (model) => ({ type: 'requeue', attempt: about(model, back) }),
    ({ state }) => state === 'DISPATCHED' && back === 0,
    (model) => {
      model.state = 'QUEUED';
    },
  );

const started = (back: number) =>
  new Step(
    `started(${back})`,
    (model) => ({ type: 'started', attempt: about(model, back), startMs: 3 }),
    ({ state }) => state === 'DISPATCHED' && back === 0,
    (model) => {
      model.state = 'RUNNING';
    },
  );

const mayRepeat = ({ cancelling, failures, maxAttempts }: Model) => !cancelling && failures + 1 < maxAttempts;

/** Ends the task, or puts it back for the next attempt. */
function over(model: Model, state: TerminalState): void {
  const again = (state === 'FAILED' || state === 'TIMED_OUT' || state === 'LOST') && mayRepeat(model);
  model.state = again ? 'QUEUED' : state;
  if (again) model.failures += 1;
}

const ended = (state: TerminalState, back: number) =>
  new Step(
    `ended(${state}, ${back})`,
    (model) => ({ type: 'ended', attempt: about(model, back), state, endMs: 4, outcome }),
    (model) => {
      const { fence, late } = model;
      if (model.state === 'QUEUED') return fence === about(model, back);
      return back === 0 && (inHand(model) || (model.state === 'LOST' && !late));
    },
    (model) => {
      if (inHand(model)) over(model, state);
      else if (model.state === 'LOST') model.late = true;
      else {
        model.fence = undefined;
        if (state === 'SUCCEEDED') model.state = 'SUCCEEDED';
      }
    },
  );

const lose = (back: number, fenced: boolean) =>
  new Step(
    `lose(${back}, ${fenced})`,
    (model) => ({ type: 'lose', attempt: about(model, back), fenced, atMs: 5, outcome }),
    (model) => inHand(model) && back === 0,
    (model) => {
      over(model, 'LOST');
      if (model.state === 'QUEUED' && !fenced) model.fence = model.attempt;
    },
  );

const fenced = (back: number) =>
  new Step(
    `fenced(${back})`,
    (model) => ({ type: 'fenced', attempt: about(model, back) }),
    (model) => model.state === 'QUEUED' && model.fence === about(model, back),
    (model) => {
      model.fence = undefined;
    },
  );

const cancel = () =>
  new Step(
    'cancel',
    () => ({ type: 'cancel', atMs: 6, outcome }),
    ({ state, cancelling }) => state === 'QUEUED' || (!isTerminal(state) && !cancelling),
    (model) => {
      if (model.state !== 'QUEUED') {
        model.cancelling = true;
        return;
      }
      model.state = 'CANCELLED';
      model.fence = undefined;
    },
  );

const drop = () =>
  new Step(
    'drop',
    () => ({ type: 'drop', atMs: 6, outcome }),
    ({ state }) => state === 'QUEUED',
    (model) => {
      model.state = 'CANCELLED';
      model.fence = undefined;
    },
  );

const back = fc.constantFrom(0, 0, 0, 1, 2, -1);
const commands = fc.commands(
  [
    fc.constant(null).map(dispatch),
    back.map(requeue),
    back.map(started),
    fc.tuple(fc.constantFrom(...ENDS), back).map(([state, n]) => ended(state, n)),
    fc.tuple(back, fc.boolean()).map(([n, known]) => lose(n, known)),
    back.map(fenced),
    fc.constant(null).map(cancel),
    fc.constant(null).map(drop),
  ],
  { maxCommands: 40 },
);

describe('a task and its model', () => {
  it('agree after any events, late and repeated ones too', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), commands, (maxAttempts, steps) => {
        const task = sampleTask({ maxAttempts });
        const begin = { attempt: 0, failures: 0, cancelling: false, fence: undefined, late: false };
        const model: Model = { state: 'QUEUED', ...begin, maxAttempts };
        fc.modelRun(() => ({ model, real: { task } }), steps);
      }),
      propertyOptions(1000),
    );
  });
});
