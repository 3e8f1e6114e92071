import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { packageRoot } from '../../../src/base/package-root.js';
import { run } from '../../../src/base/process.js';
import { connectionOf } from '../../../src/security/connection.js';
import { fakeHub } from '../../support/fake-hub.js';
import { RpcHarness } from '../../support/rpc-harness.js';

const STATS = {
  historySize: 0,
  deadLetters: 0,
  totalAgents: 0,
  onlineAgents: 0,
  queuedTasks: 0,
  activeTasks: 0,
  agents: [],
};
const NOBODY = 65_534;
const CALLER = join(packageRoot(), 'test', 'support', 'token-free-caller.mjs');

describe('peer uid on this machine', () => {
  before(function () {
    if (process.platform !== 'linux') {
      console.warn('SKIPPED: the user at the other end of a connection can be told on Linux only');
      this.skip();
    }
  });

  for (const [host, bind] of [
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', '::'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
  ] as const)
    it(`is found from ${host} to ${bind}`, async () => {
      const { accepted, client, close } = await pair(host, bind);
      expect(await connectionOf(accepted).peerUid()).to.equal(process.getuid?.());
      client.destroy();
      await close();
    });

  it('is not known once the other end has closed, although the kernel then shows root', async () => {
    const { accepted, client, close } = await pair('127.0.0.1', '127.0.0.1');
    client.end();
    accepted.pause();
    client.destroy();
    await once(client, 'close');
    expect(await connectionOf(accepted).peerUid()).to.equal(undefined);
    await close();
  });

  it('keeps another user out who has no token, and lets the own user in', async function () {
    if (process.getuid?.() !== 0) {
      console.warn('SKIPPED: to call as another user this test must run as root');
      this.skip();
    }
    await using rpc = await new RpcHarness(fakeHub({ admin: { stats: async () => STATS } })).start();
    const codeFor = async (uid: number) =>
      (await run(process.execPath, [CALLER, String(rpc.port), String(uid)])).stdout;
    expect(await codeFor(NOBODY)).to.equal('16');
    expect(await codeFor(0)).to.equal('0');
  });
});

async function pair(host: string, bind: string) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, bind);
  await once(server, 'listening');
  const address = server.address();
  const client = dial(typeof address === 'object' && address !== null ? address.port : 0, host);
  const [accepted] = (await once(server, 'connection')) as [Socket];
  accepted.on('error', () => {});
  client.on('error', () => {});
  const close = async () => {
    accepted.destroy();
    server.close();
    await once(server, 'close');
  };
  return { accepted, client, close };
}
