import { expect } from 'chai';
import { formatSpan, parseCount, parseDuration } from '../../../cli/format/duration.js';
import { errorLines, safe } from '../../../cli/format/errors.js';
import { endNote, taskExitCode } from '../../../cli/format/exit-code.js';
import { jsonLine } from '../../../cli/format/json.js';
import { StageDisplay, stageFromEvent } from '../../../cli/format/stages.js';
import { suggestion } from '../../../cli/format/suggest.js';
import { table } from '../../../cli/format/table.js';
import { UsageError } from '../../../cli/usage-error.js';
import { Task } from '../../../gen/vmagent/v1/task.js';
import { HubError } from '../../../src/model/hub-error.js';

describe('parseDuration', () => {
  const cases = { '30s': 30_000, '5m': 300_000, '2h': 7_200_000, '500ms': 500, '1500': 1500, '0.5s': 500 };
  for (const [text, ms] of Object.entries(cases)) {
    it(`reads ${text}`, () => expect(parseDuration('--timeout', text)).equal(ms));
  }
  for (const text of ['', 'abc', '-1', '5x', '30d']) {
    it(`refuses '${text}' by name`, () =>
      expect(() => parseDuration('--timeout', text)).throw(UsageError, '--timeout'));
  }
});

describe('parseCount', () => {
  it('takes whole numbers in the range only', () => {
    expect(parseCount('--cpu', '4', 256)).equal(4);
    for (const text of ['257', '1.5', '-1', '', 'x'])
      expect(() => parseCount('--cpu', text, 256)).throw(UsageError);
  });
});

describe('formatSpan', () => {
  const cases: [number, string][] = [
    [42, '42s'],
    [300, '5m'],
    [3900, '1h 5m'],
    [93_600, '1d 2h'],
  ];
  for (const [seconds, text] of cases) it(text, () => expect(formatSpan(seconds)).equal(text));
});

describe('suggestion', () => {
  const known = ['list', 'logs', 'ls', 'exec', 'status', 'stop'];
  const cases: [string, string | undefined][] = [
    ['lst', 'list'],
    ['lits', 'list'],
    ['exce', 'exec'],
    ['staus', 'status'],
    ['frobnicate', undefined],
    ['', undefined],
  ];
  for (const [word, near] of cases)
    it(`${word} -> ${near}`, () => expect(suggestion(word, known)).equal(near));
});

describe('taskExitCode', () => {
  function check(name: string, task: Parameters<typeof Task.fromPartial>[0], code: number): void {
    it(name, () => expect(taskExitCode(Task.fromPartial(task))).equal(code));
  }
  check('success', { state: 'SUCCEEDED', outcome: { exitCode: 0 } }, 0);
  check('the code of the command', { state: 'FAILED', outcome: { exitCode: 7, reason: 'EXITED' } }, 7);
  check('128 + n for a signal', { state: 'FAILED', outcome: { signal: 'SIGKILL' } }, 137);
  check('not found', { state: 'FAILED', outcome: { reason: 'SPAWN_ENOENT' } }, 127);
  check('not executable', { state: 'FAILED', outcome: { reason: 'SPAWN_EACCES' } }, 126);
  check('no working directory', { state: 'FAILED', outcome: { reason: 'CWD_NOT_FOUND' } }, 125);
  check('time-out', { state: 'TIMED_OUT', outcome: { signal: 'SIGKILL', reason: 'TIMEOUT' } }, 124);
  check('lost', { state: 'LOST', outcome: { reason: 'RESTORED' } }, 125);
  check('cancelled by somebody else', { state: 'CANCELLED', outcome: { reason: 'CANCELLED' } }, 125);

  it('says why only when the command does not speak for itself', () => {
    expect(
      endNote(
        Task.fromPartial({ state: 'FAILED', outcome: { exitCode: 1, reason: 'EXITED', message: 'x' } }),
      ),
    ).equal('');
    expect(endNote(Task.fromPartial({ id: 't', state: 'LOST', outcome: { reason: 'RESTORED' } }))).equal(
      'task t lost: RESTORED',
    );
  });
});

describe('errorLines', () => {
  it('shows message and hint, no stack', () => {
    const err = new HubError('HUB_UNREACHABLE', 'no hub', { metadata: { hint: 'vm-agent up' } });
    expect(errorLines(err, { debug: false, json: false })).equal('error: no hub\nhint: vm-agent up\n');
    expect(errorLines(err, { debug: true, json: false })).contain('at ');
  });

  it('is one object with --json', () => {
    const line = errorLines(HubError.invalid({ field: 'cpu', description: 'too many' }), {
      debug: false,
      json: true,
    });
    expect(JSON.parse(line)).deep.equal({
      error: {
        code: 'INVALID_FIELD',
        message: 'cpu: too many',
        fields: [{ field: 'cpu', description: 'too many' }],
      },
    });
  });

  it('lets no control characters through to the terminal', () => {
    expect(safe('a\u001b[31mb\u0007\u009b1m\tc\n')).equal('a\ufffd[31mb\ufffd\ufffd1m\tc\n');
  });
});

describe('jsonLine', () => {
  it('writes times, spans and bytes as REST does', () => {
    const value = {
      at: { seconds: 1, nanos: 5e8 },
      ttl: { seconds: 3, nanos: 0 },
      data: Buffer.from('hi'),
      none: undefined,
    };
    expect(JSON.parse(jsonLine(value))).deep.equal({
      at: '1970-01-01T00:00:01.500Z',
      ttl: '3s',
      data: 'aGk=',
    });
  });
});

describe('table', () => {
  it('aligns columns and cuts nothing', () => {
    expect(
      table(
        ['A', 'Name'],
        [
          ['long cell', 'x'],
          ['', 'y\nz'],
        ],
      ),
    ).equal('A          Name\nlong cell  x\n           y z\n');
  });

  it('stays fast with many rows', () => {
    const rows = Array.from({ length: 20_000 }, (_, i) => [`agent-${i}`, 'online']);
    const started = performance.now();
    expect(table(['Name', 'Status'], rows).split('\n').length).equal(20_002);
    expect(performance.now() - started).lessThan(1000);
  });
});

describe('StageDisplay', () => {
  function shown(isTTY: boolean): string {
    let text = '';
    const display = new StageDisplay('create dev', { isTTY, write: (part: string) => (text += part) });
    display.show(stageFromEvent('boot', 'starting'));
    display.show(stageFromEvent('boot', 'started (1.9 s)'));
    display.show({ name: 'boot', detail: 'started', durationMs: 1900, error: '' });
    display.show(stageFromEvent('agent', 'waiting (3.0 s): gave up'));
    display.close();
    return text;
  }

  it('writes one plain line a stage when it is no terminal', () => {
    expect(shown(false)).equal('create dev: boot started (1.9s)\ncreate dev: agent gave up (3.0s)\n');
  });

  it('paints over one live line a stage on a terminal', () => {
    expect(shown(true)).match(/\r.*… boot.*\r.*✔ boot +started +1\.9s\n.*✗ agent/s);
  });
});
