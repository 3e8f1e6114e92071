import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';
import { start } from '../../../src/base/process.js';
import { cli } from '../../support/cli.js';
import { ask, open } from '../../support/gateway/http-client.js';
import { Standalone } from '../../support/gateway/standalone.js';

describe('vm-agent gateway', function () {
  this.timeout(30_000);
  let gateways: Standalone;
  const running: ChildProcess[] = [];

  before(async () => {
    gateways = await Standalone.ref();
  });
  after(() => gateways.close());
  afterEach(() => {
    for (const child of running.splice(0)) child.kill('SIGKILL');
  });

  const ends = () => ['--descriptor-set', gateways.descriptors.file, '--target', gateways.backend.address];

  /** Starts the program and waits for its first line. */
  async function gateway(...args: string[]) {
    const main = join(packageRoot(), 'cli', 'main.ts');
    const child = start(process.execPath, ['--import', 'tsx', main, 'gateway', ...ends(), ...args], {});
    running.push(child);
    let [stdout, stderr] = ['', ''];
    child.stderr?.on('data', (data) => (stderr += data));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
    await new Promise<void>((resolve) => {
      child.stdout?.on('data', (data) => {
        stdout += data;
        if (stdout.includes('\n')) resolve();
      });
      void ended.then(() => resolve());
    });
    return { child, ended, line: stdout };
  }

  it('says in one line where it is, serves, and ends by a signal when its calls have', async () => {
    const { child, ended, line } = await gateway('--listen', '127.0.0.1:0');
    const [, port] =
      /^vm-agent gateway on http:\/\/127\.0\.0\.1:(\d+), to \S+, 65 routes\n$/.exec(line) ?? [];
    expect(port, line).not.to.equal(undefined);
    expect((await ask(Number(port), { path: '/v1/one/x' })).json()).to.deep.equal({ name: 'x', extra: '' });
    const slow = open(Number(port), '/v1/slow/500');
    await ask(Number(port), { path: '/v1/nop' });
    child.kill('SIGTERM');
    expect((await slow).statusCode).to.equal(200);
    const { code, stderr } = await ended;
    expect([code, stderr]).to.deep.equal([
      0,
      'the gateway stops when what it has in hand is answered; send the signal again to stop at once\n',
    ]);
  });

  it('ends at once by the second signal, whoever still reads', async () => {
    const { child, ended, line } = await gateway('--listen', '127.0.0.1:0', '--json');
    const { url, routes } = JSON.parse(line) as { url: string; routes: number };
    expect(routes).to.equal(65);
    const stream = await open(Number(new URL(url).port), '/v1/sstream/1?cmd=hang');
    stream.on('error', () => {});
    child.kill('SIGINT');
    await once(child.stderr ?? stream, 'data');
    const before = performance.now();
    child.kill('SIGINT');
    expect((await ended).code).to.equal(0);
    expect(performance.now() - before).lessThan(3_000);
  });

  it('ends with 1 when its address is in use', async () => {
    const port = await gateways.port();
    const { code, stderr } = await cli(['gateway', ...ends(), '--listen', `127.0.0.1:${port}`]);
    expect([code, stderr]).to.deep.equal([1, `error: 127.0.0.1:${port} is in use by another program\n`]);
  });

  const wrong: [what: string, args: string[], words: string][] = [
    ['no descriptors', ['--target', 'a:1'], '--descriptor-set is missing'],
    ['no target', ['--descriptor-set', 'f'], '--target is missing'],
    [
      'a mode that is none',
      ['--unescaping-mode', 'x'],
      '--unescaping-mode must be one of legacy, all-except-',
    ],
    [
      'a status that is none',
      ['--method-not-allowed', '404'],
      '--method-not-allowed must be one of 501, 405',
    ],
    ['a limit that is none', ['--body-limit', '1k'], '--body-limit must be a number of bytes'],
    ['an origin with a path', ['--cors-origin', 'https://a.example/'], '--cors-origin must be like https://'],
    [
      'a file that is not there',
      ['--descriptor-set', '/none', '--target', 'a:1'],
      '--descriptor-set: the file',
    ],
  ];
  for (const [what, args, words] of wrong) {
    it(`refuses ${what} as wrong usage`, async () => {
      const needed = args.some((arg) => arg.startsWith('--descriptor') || arg === '--target') ? [] : ends();
      const { code, stderr } = await cli(['gateway', ...needed, ...args]);
      expect(stderr).to.contain(`error: ${words}`);
      expect(code).to.equal(2);
    });
  }
});
