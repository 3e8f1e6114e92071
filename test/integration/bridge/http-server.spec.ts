import { connect } from 'node:net';
import { expect } from 'chai';
import { type HttpServer, listenHttp } from '../../../src/bridge/http-server.js';
import { HubError } from '../../../src/model/hub-error.js';
import { ask } from '../../support/gateway/http-client.js';
import { sendRaw } from '../../support/gateway/replay.js';

describe('HTTP server', () => {
  let server: HttpServer;

  beforeEach(async () => {
    const limits = { host: '127.0.0.1', port: 0, headersTimeoutMs: 200, requestTimeoutMs: 400 };
    server = await listenHttp((req, res) => void req.resume().on('end', () => res.end('done')), limits);
  });
  afterEach(() => server.close(0));

  it('answers 408 in JSON to headers and bodies that never end', async () => {
    const late = /^HTTP\/1.1 408 .*\{"code":4,/s;
    expect(String(await sendRaw(server.port, Buffer.from('GET / HTTP/1.1\r\nHost:')))).to.match(late);
    const half = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx';
    expect(String(await sendRaw(server.port, Buffer.from(half)))).to.match(late);
    expect((await ask(server.port, { path: '/' })).text).to.equal('done');
  });

  it('answers 431 to headers over 16 KiB', async () => {
    const answer = await sendRaw(
      server.port,
      Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`),
    );
    expect(String(answer)).to.match(/^HTTP\/1.1 431 /);
  });

  it('says which address is in use', async () => {
    const again = listenHttp(() => {}, { host: '127.0.0.1', port: server.port });
    const err = await again.catch((failure: unknown) => failure);
    expect(err).to.be.instanceOf(HubError).with.property('reason', 'ADDRESS_IN_USE');
  });

  it('cuts connections that outlive its grace', async () => {
    const socket = connect(server.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    await server.close(0);
    await closed;
  });
});
