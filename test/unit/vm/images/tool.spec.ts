import { expect } from 'chai';
import { hasTool, requireTools, runTool, toolEnv } from '../../../../src/vm/images/tool.js';

const env = { PATH: '/usr/bin:/bin' };
const sh = (script: string, signal = new AbortController().signal) =>
  runTool('sh', ['-c', script], { env, signal });

async function thrown(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (err: unknown) => err,
  );
}

describe('runTool', () => {
  it('answers what was written, and tells the lines of the other stream', async () => {
    const lines: string[] = [];
    const options = { env, signal: new AbortController().signal, onLine: (line: string) => lines.push(line) };
    expect(await runTool('sh', ['-c', 'echo out; echo one >&2; printf two >&2'], options)).equal('out\n');
    expect(lines).deep.equal(['one', 'two']);
  });

  it('fails with the last words', async () => {
    const err = await thrown(sh('for i in $(seq 1 50); do echo "line $i" >&2; done; exit 3'));
    expect(err).property('reason', 'IMAGE_FAILED');
    expect(err)
      .property('message')
      .match(/^sh failed \(exit code 3\):\nline 36\n[\s\S]*\nline 50$/);
  });

  it('knows a full disk by what tools say', async () => {
    const err = await thrown(sh('echo "x: No space left on device" >&2; exit 1'));
    expect(err).property('reason', 'DISK_FULL');
  });

  it('ends the tool and what it started when aborted', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const running = runTool('sh', ['-c', 'sleep 100 & echo up >&2; wait'], {
      env,
      signal: abort.signal,
      onLine: () => abort.abort(reason),
    });
    // The streams close only when nobody holds them any more.
    expect(await thrown(running)).equal(reason);
  });

  it('gives tools nothing of the environment that they do not need', () => {
    expect(toolEnv({ PATH: '/bin', HOME: '/h', SECRET: 'x' })).deep.equal({
      PATH: '/bin:/usr/sbin:/sbin',
      HOME: '/h',
      LC_ALL: 'C.UTF-8',
    });
  });
});

describe('requireTools', () => {
  it('says which Debian packages to install', () => {
    const nothing = { PATH: '/nonexistent' };
    expect(hasTool('sh', env)).equal(true);
    expect(hasTool('qemu-img', nothing)).equal(false);
    expect(() => requireTools(['mmdebstrap', 'qemu-img'], nothing))
      .throw('mmdebstrap, qemu-img are not installed; on Debian: sudo apt-get install mmdebstrap qemu-utils')
      .property('reason', 'TOOL_MISSING');
  });
});
