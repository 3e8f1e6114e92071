import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { TcpProxy } from '../../support/proxy.js';

/** Longer than anything takes that is not held up. */
const QUIET_MS = 100;

describe('the TCP proxy', () => {
  let server: Server;
  let proxy: TcpProxy;
  let client: Socket;

  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    proxy = await TcpProxy.listen((server.address() as AddressInfo).port);
    client = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(client, 'connect');
  });
  afterEach(async () => {
    client.destroy();
    await proxy.close();
    server.close();
  });

  /** Sends a text and resolves with so many bytes of the echo. */
  const echo = async (text: string): Promise<string> => {
    client.write(text);
    let got = '';
    while (got.length < text.length) got += String((await once(client, 'data'))[0]);
    return got;
  };

  it('passes bytes both ways, whole and in pieces', async () => {
    expect(await echo('hello')).to.equal('hello');
    proxy.setWay({ kind: 'split', bytes: 1 });
    expect(await echo('in pieces')).to.equal('in pieces');
  });

  it('holds bytes back in one direction or both, and loses none of them', async () => {
    for (const direction of ['up', 'down', undefined] as const) {
      proxy.setWay(direction === undefined ? { kind: 'drop' } : { kind: 'drop', direction });
      const answer = echo(`held ${direction}`);
      const first = await Promise.race([answer, sleep(QUIET_MS, 'nothing')]);
      expect(first).to.equal('nothing');
      proxy.heal();
      expect(await answer).to.equal(`held ${direction}`);
    }
  });

  it('is as slow as it is told to be', async () => {
    proxy.setWay({ kind: 'delay', ms: QUIET_MS });
    const startMs = performance.now();
    await echo('late');
    expect(performance.now() - startMs).to.be.at.least(2 * QUIET_MS - 5);
    proxy.setWay({ kind: 'slow', bytesPerSecond: 200 });
    await echo('0123456789012345678901234567890123456789');
    expect(performance.now() - startMs).to.be.at.least(2 * QUIET_MS + 195);
  });

  it('ends one direction; the other goes on', async () => {
    await echo('once');
    client.resume();
    proxy.halfClose('down');
    await once(client, 'end');
    expect(proxy.connections).to.equal(1);
  });

  it('breaks connections', async () => {
    await echo('once');
    client.resume();
    client.on('error', () => {});
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    proxy.cut();
    await closed;
    expect(proxy.connections).to.equal(0);
  });
});
