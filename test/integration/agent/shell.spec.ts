import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openScriptTerminal } from '../../../src/agent/script-terminal.js';
import { deferred } from '../../../src/base/deferred.js';
import { AgentHarness } from '../../support/agent-harness.js';
import { type FakeShell, resize, type } from '../../support/fake-agent-door.js';

describe('agent: shell', () => {
  let harness: AgentHarness;

  beforeEach(async () => {
    harness = new AgentHarness();
    await harness.start();
  });
  afterEach(() => harness.close());

  async function open(argv: readonly string[]): Promise<FakeShell> {
    const size = { columns: 100, rows: 30 };
    harness.hub.send({ type: 'openShell', shell: 's', open: { argv, size, term: 'xterm' } });
    await harness.hub.until(() => harness.hub.shells.has('s'));
    const shell = harness.hub.shells.get('s');
    if (shell === undefined) throw new Error('no shell');
    return shell;
  }

  const shows = (shell: FakeShell, text: string) => harness.hub.until(() => shell.text().includes(text));

  it('is a terminal of the size asked for, and tells the exit code', async () => {
    const shell = await open(['/bin/sh', '-c', 'tty; stty size; echo $TERM; read x; exit $x']);
    await shows(shell, '30 100');
    await shows(shell, 'xterm');
    expect(shell.text()).to.include('/dev/pts/');
    type(shell, '7\n');
    await harness.hub.until(() => shell.frames.at(-1)?.type === 'exit');
    expect(shell.frames.at(-1)).to.deep.equal({ type: 'exit', exitCode: 7 });
  });

  it('follows the size of the window', async () => {
    const shell = await open(['/bin/sh', '-c', 'echo up; read x; stty size; read x']);
    await shows(shell, 'up');
    resize(shell, 120, 40);
    type(shell, '\n');
    await shows(shell, '40 120');
  });

  it('is a login shell when nothing is asked for', async () => {
    const shell = await open([]);
    type(shell, 'echo $((40 + 2)); exit 3\n');
    await shows(shell, '42');
    await harness.hub.until(() => shell.frames.at(-1)?.type === 'exit');
    expect(shell.frames.at(-1)).to.deep.equal({ type: 'exit', exitCode: 3 });
  });

  it('is killed with its stream', async () => {
    const shell = await open(['/bin/sh', '-c', 'echo pid $$; sleep 600']);
    await shows(shell, 'pid ');
    const pid = Number(/pid (\d+)/.exec(shell.text())?.[1]);
    shell.call.emit('error', { code: 1, details: 'gone' });
    for (let alive = true; alive; ) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      try {
        process.kill(pid, 0);
      } catch {
        alive = false;
      }
    }
  });

  it('refuses one that cannot be opened', async () => {
    harness.hub.send({
      type: 'openShell',
      shell: 's',
      open: { argv: ['no-such-program'], size: { columns: 80, rows: 24 }, term: 'xterm' },
    });
    const over = () =>
      harness.hub.frames.some(({ type: kind }) => kind === 'shellRefused') ||
      harness.hub.shells.get('s')?.frames.some((f) => f.type === 'exit' && f.exitCode !== 0) === true;
    await harness.hub.until(over);
  });
});

describe('openScriptTerminal', () => {
  it('serves a terminal where the native module is missing', async () => {
    const cwd = mkdtempSync(join(tmpdir(), 'script-'));
    const terminal = await openScriptTerminal({
      argv: [
        '/bin/sh',
        '-c',
        'stty size; echo "$1"; until [ "$(stty size)" = "40 120" ]; do sleep 0.01; done; read x; exit 9',
        'sh',
        "it's $HOME",
      ],
      size: { columns: 100, rows: 30 },
      term: 'xterm',
      cwd,
      env: { PATH: process.env.PATH ?? '', TERM: 'xterm' },
      mark: 'test/script;',
    });
    let text = '';
    const shown = deferred();
    terminal.read((data) => {
      text += data.toString();
      if (text.includes('$HOME')) shown.resolve();
    });
    await shown.promise;
    expect(text).to.include('30 100').and.include("it's $HOME");
    terminal.resize({ columns: 120, rows: 40 });
    terminal.write(Buffer.from('\n'));
    expect(await terminal.exited).to.equal(9);
    rmSync(cwd, { recursive: true });
  });
});
