import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';

/** The page's scripts are plain JavaScript without types. */
type Format = Record<string, (...args: unknown[]) => unknown>;

describe('dashboard formats', () => {
  let format: Format;

  before(async () => {
    format = await import(pathToFileURL(join(packageRoot(), 'src/dashboard/web/format.js')).href);
  });

  const cases: [name: string, args: unknown[], expected: unknown][] = [
    ['duration', [240], '240 ms'],
    ['duration', [3149], '3.1 s'],
    ['duration', [252_000], '4m 12s'],
    ['duration', [7_500_000], '2h 5m'],
    ['duration', [Number.NaN], ''],
    ['ago', [1000, 2000], 'now'],
    ['ago', [0, 12_000], '12 s ago'],
    ['ago', [5000, 0], 'now'],
    ['ago', [Number.NaN, 0], '–'],
    ['percent', [45.4], 45],
    ['percent', [140], 100],
    ['percent', [null], undefined],
    ['percent', ['<b>'], undefined],
    ['exitText', [{ outcome: null }], ''],
    ['exitText', [{ outcome: { exitCode: 0 } }], '0'],
    ['exitText', [{ outcome: { signal: 'SIGKILL' } }], 'SIGKILL'],
    ['taskSummary', [{ spec: { type: 'exec', command: 'echo\n  hi' } }], 'exec echo hi'],
    ['taskSummary', [{ spec: { type: 'exec', argv: ['ls', '-la'] } }], 'exec ls -la'],
    ['taskSummary', [{ spec: null }], ''],
  ];
  for (const [name, args, expected] of cases) {
    it(`${name}(${JSON.stringify(args).slice(1, -1)})`, () =>
      expect(format[name]?.(...args)).to.equal(expected));
  }

  it('gives every state an icon, a word and a tone', () => {
    const tasks = [
      'QUEUED',
      'DISPATCHED',
      'RUNNING',
      'SUCCEEDED',
      'FAILED',
      'CANCELLED',
      'TIMED_OUT',
      'LOST',
    ];
    for (const state of tasks) expect(format.taskState?.({ state })).to.not.include({ icon: '?' });
    for (const state of ['CREATING', 'ONLINE', 'OFFLINE', 'DESTROYING', 'FAILED']) {
      expect(format.agentState?.({ state })).to.not.include({ icon: '?' });
    }
    expect(format.agentState?.({ state: 'ONLINE', busy: true })).to.include({ word: 'busy' });
    expect(format.taskState?.({ state: 'RUNNING', cancelRequested: true })).to.include({
      word: 'cancelling',
    });
  });
});
