import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../src/base/package-root.js';
import { start } from '../../src/base/process.js';
import { normalize, recordedCases, sendRaw } from '../support/gateway/replay.js';
import { Standalone } from '../support/gateway/standalone.js';

/** The built program, as users run it. */
describe('vm-agent gateway against recorded grpc-gateway answers', function () {
  this.timeout(60_000);
  let gateways: Standalone;
  let child: ChildProcess;
  let port = 0;

  before(async () => {
    gateways = await Standalone.ref();
    const ends = ['--descriptor-set', gateways.descriptors.file, '--target', gateways.backend.address];
    child = start(
      join(packageRoot(), 'cli', 'vm-agent'),
      ['gateway', ...ends, '--listen', '127.0.0.1:0'],
      {},
    );
    const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
    port = Number(/:(\d+), to/.exec(line.toString())?.[1]);
  });
  after(async () => {
    child.kill('SIGTERM');
    expect(await once(child, 'close')).to.deep.equal([0, null]);
    await gateways.close();
  });

  it('answers all 269 alike', async () => {
    const cases = recordedCases();
    const differing: string[] = [];
    for (const { name, req, res } of cases) {
      const got = normalize(await sendRaw(port, Buffer.from(req, 'latin1')));
      if (JSON.stringify(got) !== JSON.stringify(normalize(Buffer.from(res, 'utf8')))) differing.push(name);
    }
    expect([cases.length, differing]).to.deep.equal([269, []]);
  });
});
