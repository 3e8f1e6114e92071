import { expect } from 'chai';
import { check, type Judgement } from '../../support/history/check.js';
import {
  type Evidence,
  History,
  type Piece,
  type TaskPlan,
  type TaskView,
  textOf,
} from '../../support/history/evidence.js';

const plan: TaskPlan = {
  name: 'n',
  lines: { STDOUT: 3, STDERR: 1 },
  failUntil: 0,
  exitCode: 7,
  maxAttempts: 1,
};
const text = (stream: 'STDOUT' | 'STDERR', attempt = 1) => textOf(plan, attempt, stream);

const posted: Evidence = { type: 'posted', plan };
const accepted: Evidence = { type: 'accepted', name: 'n', id: 't' };
const marker: Evidence = { type: 'marker', name: 'n', attempt: 1 };
const view = (more: Partial<TaskView> = {}): Evidence => ({
  type: 'seen',
  view: {
    id: 't',
    state: 'SUCCEEDED',
    attempt: 1,
    reason: 'EXITED',
    exitCode: 0,
    endTime: '5.0',
    bytes: { STDOUT: text('STDOUT').length, STDERR: text('STDERR').length },
    lostBytes: 0,
    ...more,
  },
});
const open = (state: TaskView['state'], attempt: number): Evidence => ({
  type: 'seen',
  view: {
    id: 't',
    state,
    attempt,
    reason: '',
    endTime: '',
    bytes: { STDOUT: 0, STDERR: 0 },
    lostBytes: 0,
  },
});
const piece = (data: string, more: Partial<Piece> = {}): Piece => ({
  id: 't',
  attempt: 1,
  stream: 'STDOUT',
  offset: 0,
  data,
  gapBytes: 0,
  ...more,
});
const stored = (data: string, more: Partial<Piece> = {}): Evidence => ({
  type: 'stored',
  piece: piece(data, more),
});
const out = stored(text('STDOUT'));
const err = stored(text('STDERR'), { stream: 'STDERR' });
const told = (state: string): Evidence => ({
  type: 'told',
  id: 't',
  change: 'task.ended',
  state,
  reason: '',
});
const alive = (last = false): Evidence => ({ type: 'alive', name: 'n', pid: 42, last });
const lost = view({ state: 'LOST', reason: 'RESTORED' });

/** What the checker finds in a history, as `rule: text`. */
function judge(evidence: readonly Evidence[], judgement: Judgement = { lostReasons: ['RESTORED'] }) {
  const history = new History();
  history.add(...evidence);
  return check(history, judgement).map(({ rule, what }) => `${rule}: ${what}`);
}

const RIGHT: readonly (readonly [name: string, evidence: readonly Evidence[]])[] = [
  ['a task that ran', [posted, accepted, open('RUNNING', 1), told('SUCCEEDED'), view(), marker, out, err]],
  ['a task that is alive before its end', [posted, accepted, alive(), view(), marker, out, err]],
  ['a refused task', [posted, { type: 'rejected', name: 'n', reason: '404' }]],
  ['a task that was asked for twice', [posted, accepted, posted, accepted, view(), marker, out, err]],
  ['a task that a restore ended', [posted, accepted, lost, alive(), marker, stored('n 1 STD')]],
  [
    'a task that was shown to a follower',
    [
      ...[posted, accepted, view(), marker, out, err],
      { type: 'shown', piece: piece(text('STDOUT').slice(0, 5)) },
      { type: 'shown', piece: piece(text('STDOUT').slice(5), { offset: 5 }) },
    ],
  ],
  [
    'a failed run that is repeated',
    [
      { type: 'posted', plan: { ...plan, failUntil: 1, maxAttempts: 2 } },
      ...[accepted, open('RUNNING', 1), open('QUEUED', 1), open('RUNNING', 2), marker, out, err],
      view({ attempt: 2 }),
      { ...marker, attempt: 2 },
      stored(text('STDOUT', 2), { attempt: 2 }),
      stored(text('STDERR', 2), { attempt: 2, stream: 'STDERR' }),
    ],
  ],
];

const WRONG: readonly (readonly [name: string, found: RegExp, evidence: readonly Evidence[]])[] = [
  ['a task that never ends', /oneEnd: it did not end/, [posted, accepted, open('RUNNING', 1), marker]],
  ['a task that was accepted and never seen', /oneEnd: it did not end/, [posted, accepted]],
  ['an end that changes', /oneEnd: it ended as/, [posted, accepted, lost, view(), marker, out, err]],
  [
    'an exit code that changes',
    /oneEnd: it ended as/,
    [...[posted, accepted, view(), view({ exitCode: 1 }), marker, out, err]],
  ],
  [
    'two ends',
    /oneEnd: its end was told 2 times/,
    [...[posted, accepted, told('SUCCEEDED'), told('SUCCEEDED'), view(), marker, out, err]],
  ],
  [
    'an end that is told otherwise',
    /oneEnd: its end was told as LOST/,
    [...[posted, accepted, told('LOST'), view(), marker, out, err]],
  ],
  [
    'an attempt that runs twice',
    /runs: attempt 1 ran more than once/,
    [...[posted, accepted, view(), marker, marker, out, err]],
  ],
  [
    'an attempt that was taken back and had run',
    /runs: attempt 1 did not fail, and attempt 2 ran/,
    [...[posted, accepted, view({ attempt: 2 }), marker, { ...marker, attempt: 2 } as const]],
  ],
  [
    'more runs than allowed',
    /runs: it ran 2 times and may run 1 times/,
    [...[posted, accepted, view({ attempt: 2 }), marker, { ...marker, attempt: 2 } as const]],
  ],
  [
    'a success that never ran',
    /runs: it is SUCCEEDED .* what ran: attempts none/,
    [posted, accepted, view()],
  ],
  [
    'a wrong exit code',
    /runs: it is FAILED/,
    [...[posted, accepted, view({ state: 'FAILED', exitCode: 3 }), marker, out, err]],
  ],
  [
    'a failure that is not repeated',
    /runs: it is FAILED/,
    [
      { type: 'posted', plan: { ...plan, failUntil: 9, maxAttempts: 2 } },
      ...[accepted, view({ state: 'FAILED', exitCode: 7 }), marker, out, err],
    ],
  ],
  [
    'a run behind the end',
    /runs: .* and attempt 2 ran/,
    [...[posted, accepted, lost, { ...marker, attempt: 2 } as const]],
  ],
  [
    'a cancel that nobody asked for',
    /runs: it is CANCELLED/,
    [...[posted, accepted, view({ state: 'CANCELLED' }), marker, out, err]],
  ],
  [
    'a task that is lost for no good reason',
    /runs: it is LOST \(AGENT_CRASHED/,
    [...[posted, accepted, view({ state: 'LOST', reason: 'AGENT_CRASHED' }), marker]],
  ],
  ['a time-out out of nothing', /runs: it is TIMED_OUT/, [posted, accepted, view({ state: 'TIMED_OUT' })]],
  [
    'a line that is missing at the end',
    /output: attempt 1 STDOUT has 13 bytes of 39/,
    [
      ...[posted, accepted, view({ bytes: { STDOUT: 13, STDERR: 13 } }), marker, err],
      stored(text('STDOUT').slice(0, 13)),
    ],
  ],
  [
    'a line that is missing in the middle',
    /output: attempt 1 STDOUT goes on at 26/,
    [
      ...[posted, accepted, view(), marker, err, stored(text('STDOUT').slice(0, 13))],
      stored(text('STDOUT').slice(26), { offset: 26 }),
    ],
  ],
  [
    'a line that is there twice',
    /output: attempt 1 STDOUT goes on at 0/,
    [...[posted, accepted, view(), marker, out, out, err]],
  ],
  [
    'bytes of another task',
    /output: attempt 1 STDOUT has other bytes/,
    [...[posted, accepted, view(), marker, err, stored(text('STDOUT').replace('n 1', 'm 1'))]],
  ],
  [
    'output of an attempt that never ran',
    /output: attempt 2 STDOUT is stored and never ran/,
    [...[posted, accepted, view(), marker, out, err, stored('n 2', { attempt: 2 })]],
  ],
  [
    'a gap that hides a byte too few',
    /output: attempt 1 STDOUT goes on at 26/,
    [
      ...[posted, accepted, view({ lostBytes: 12 }), marker, err, stored(text('STDOUT').slice(0, 13))],
      stored('', { offset: 13, gapBytes: 12 }),
      stored(text('STDOUT').slice(26), { offset: 26 }),
    ],
  ],
  [
    'a gap that nobody allowed',
    /output: 13 bytes are missing/,
    [
      ...[posted, accepted, view({ lostBytes: 13 }), marker, err, stored(text('STDOUT').slice(0, 26))],
      stored('', { offset: 26, gapBytes: 13 }),
    ],
  ],
  [
    'an outcome that counts other bytes',
    /output: STDERR has 13 bytes, and its outcome says 14/,
    [...[posted, accepted, view({ bytes: { STDOUT: 39, STDERR: 14 } }), marker, out, err]],
  ],
  [
    'a process behind the end',
    /aliveAfterEnd: process 42/,
    [...[posted, accepted, view(), alive(), marker, out, err]],
  ],
  [
    'a process of a restored task that stays',
    /aliveAfterEnd: process 42/,
    [...[posted, accepted, lost, alive(true), marker]],
  ],
  [
    'a refused task that runs',
    /identity: it was refused as 404 and ran 1 times/,
    [...[posted, { type: 'rejected', name: 'n', reason: '404' } as const, marker]],
  ],
  [
    'one key with two ids',
    /identity: its key was answered with 2 ids/,
    [...[posted, accepted, { ...accepted, id: 'u' } as const, view(), marker, out, err]],
  ],
  [
    'one id for two keys',
    /identity: id t is that of n and of m/,
    [
      ...[posted, accepted, { type: 'posted', plan: { ...plan, name: 'm' } } as const],
      ...[{ type: 'accepted', name: 'm', id: 't' } as const, view(), marker, out, err],
    ],
  ],
  ['a marker of a task that nobody posted', /identity: marker of n/, [marker]],
  [
    'an accepted task that is gone',
    /takenBack: it was accepted, and a later read did not find it/,
    [...[posted, accepted, view(), marker, out, err, { type: 'missing', id: 't' } as const]],
  ],
  [
    'an attempt that goes back',
    /takenBack: it was RUNNING at attempt 2, then RUNNING at 1/,
    [...[posted, accepted, open('RUNNING', 2), open('RUNNING', 1), view(), marker, out, err]],
  ],
  [
    'a start that is taken back',
    /takenBack: it was RUNNING at attempt 1, then DISPATCHED at 1/,
    [...[posted, accepted, open('RUNNING', 1), open('DISPATCHED', 1), view(), marker, out, err]],
  ],
  [
    'a read that does not know of the end that was told',
    /takenBack: its end was told, and a later read showed RUNNING/,
    [
      ...[posted, accepted, told('SUCCEEDED'), { ...open('RUNNING', 1), ended: true } as Evidence],
      ...[view(), marker, out, err],
    ],
  ],
  [
    'news behind the end',
    /takenBack: task.ended was told after its end/,
    [...[posted, accepted, told('SUCCEEDED'), told('RUNNING'), view(), marker, out, err]],
  ],
  [
    'a follower that is shown something twice',
    /takenBack: attempt 1 STDOUT was shown from 0 after 39/,
    [
      ...[posted, accepted, view(), marker, out, err],
      { type: 'shown', piece: piece(text('STDOUT')) },
      { type: 'shown', piece: piece(text('STDOUT')) },
    ],
  ],
  [
    'a follower that is shown what is not stored',
    /takenBack: attempt 1 STDERR was shown with other bytes/,
    [
      ...[posted, accepted, view(), marker, out, err],
      { type: 'shown', piece: piece('n 9', { stream: 'STDERR' }) },
    ],
  ],
];

describe('the history checker', () => {
  it('lets bytes be missing where a run allows that, when they are declared to the byte', () => {
    const half = text('STDOUT').slice(0, 13);
    const evidence = [posted, accepted, view({ lostBytes: 26 }), marker, err, stored(half)];
    const gap = stored('', { offset: 13, gapBytes: 26 });
    expect(judge([...evidence, gap], { lostReasons: [], gapsAllowed: true })).to.deep.equal([]);
    expect(judge(evidence, { lostReasons: [], gapsAllowed: true })).not.to.deep.equal([]);
  });

  it('lets an attempt that was lost be repeated, and no other', () => {
    const again = { type: 'posted', plan: { ...plan, maxAttempts: 2 } } as const;
    const second = [
      { ...marker, attempt: 2 } as Evidence,
      stored(text('STDOUT', 2), { attempt: 2 }),
      stored(text('STDERR', 2), { attempt: 2, stream: 'STDERR' }),
    ];
    const end = (first: TaskView['state']) => view({ attempt: 2, attempts: { 1: first, 2: 'SUCCEEDED' } });
    expect(judge([again, accepted, end('LOST'), marker, ...second])).to.deep.equal([]);
    expect(judge([again, accepted, end('SUCCEEDED'), marker, ...second]).join()).to.match(/did not fail/);
  });

  for (const [name, evidence] of RIGHT) {
    it(`finds nothing wrong with ${name}`, () => expect(judge(evidence)).to.deep.equal([]));
  }
  for (const [name, found, evidence] of WRONG) {
    it(`catches ${name}`, () => expect(judge(evidence).join('\n')).to.match(found));
  }

  it('judges by the moment of an observation, not by that of writing it down', () => {
    const history = new History();
    history.add(posted, accepted, alive());
    const position = history.length;
    history.add(view());
    history.addAt(position, [alive()]);
    history.add(marker, out, err);
    expect(check(history, { lostReasons: [] })).to.deep.equal([]);
  });
});
