import { once } from 'node:events';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import { deferred } from '../../../src/base/deferred.js';
import type { Backend } from '../../../src/bridge/backend.js';
import { ask } from '../../support/gateway/http-client.js';
import { ALLOWED_ORIGIN, type HubDoor, startHubDoor, TOKEN } from '../../support/gateway/hub-door.js';
import { type RefGateway, startRefGateway } from '../../support/gateway/ref-gateway.js';
import { sendRaw } from '../../support/gateway/replay.js';
import { refusal, SocketClient } from '../../support/gateway/socket-client.js';
import { FLOOD_RECORDS } from '../../support/gateway/stand-in-hub.js';
import { settled } from '../../support/settled.js';

const HANDSHAKE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

describe('WebSockets on streaming routes', () => {
  let gateway: RefGateway;

  before(async () => {
    gateway = await startRefGateway({ webSockets: { frameLimit: 4096, pingMs: 50 } });
  });
  after(() => gateway.close());

  const open = (path: string, options = {}) => SocketClient.open(gateway.port, path, options);

  it('stream a server stream whose request is in the address', async () => {
    const client = await open('/v1/sstream/2?cmd=<>');
    expect(await client.closed).to.deep.equal({ code: 1000, reason: '' });
    expect(client.frames).to.deep.equal([
      '{"result":{"seq":0,"text":"t0"}}',
      '{"result":{"seq":1,"text":"t1"}}',
    ]);
  });

  it('take the request of a route with a body from the first frame', async () => {
    const client = await open('/v1/sstream');
    client.send({ n: 1 });
    expect(await client.closed).to.include({ code: 1000 });
    expect(client.frames).to.deep.equal(['{"result":{"seq":0,"text":"t0"}}']);
  });

  it('talk both ways at once, and end when the client has said all', async () => {
    const client = await open('/v1/bidi');
    for (let seq = 1; seq <= 3; seq++) {
      client.send({ seq });
      expect((await client.first(seq)).at(-1)).to.deep.equal({ result: { seq: seq * 10, text: '' } });
    }
    client.half();
    expect(await client.closed).to.deep.equal({ code: 1000, reason: '' });
  });

  it('answer a client stream once the client has said all', async () => {
    const client = await open('/v1/cstream');
    client.send({ text: 'a' }, { text: 'b' });
    client.half();
    expect(await client.first(1)).to.deep.equal([{ result: { count: 2, texts: ['a', 'b'] } }]);
    expect(await client.closed).to.include({ code: 1000 });
  });

  it('send what an HttpBody holds as binary frames', async () => {
    const client = await open('/v1/sbody/2');
    await client.closed;
    expect(client.frames).to.deep.equal(['part0', 'part1']);
  });

  it('tell a failure as a status and by the close code', async () => {
    const client = await open('/v1/sstream/1?cmd=failfirst');
    expect(await client.closed).to.deep.equal({ code: 4005, reason: 'nope' });
    expect(client.frames).to.deep.equal(['{"error":{"code":5,"message":"nope","details":[]}}']);
  });

  it('tell a bad value, and cancel the call', async () => {
    const client = await open('/v1/bidi');
    client.send({ seq: 1 });
    await client.first(1);
    client.socket.send('{"seq":');
    expect(await client.closed).to.include({ code: 4003 });
    expect(client.frames.at(-1)).to.match(/^\{"error":\{"code":3,/);
  });

  it('take text only', async () => {
    const client = await open('/v1/bidi');
    client.socket.send(Buffer.from('{"seq":1}'), { binary: true });
    expect(await client.closed).to.deep.equal({
      code: 1003,
      reason: 'send messages as JSON in text frames',
    });
  });

  it('refuse a frame above the limit', async () => {
    const client = await open('/v1/bidi');
    client.send({ text: 'x'.repeat(5000) });
    expect(await client.closed).to.include({ code: 1009 });
  });

  it('refuse a bad request before the handshake is answered, or right behind it', async () => {
    const bad = await open('/v1/sstream/x');
    expect(await bad.closed).to.include({ code: 4003 });
    const timeout = await refusal(open('/v1/sstream/1', { headers: { 'Grpc-Timeout': '5x' } }));
    expect(timeout.status).to.equal(400);
    expect(timeout.text).to.contain('invalid grpc-timeout: 5x');
  });

  it('end a call at its deadline', async () => {
    const client = await open('/v1/sstream/1?cmd=hang', { headers: { 'Grpc-Timeout': '100m' } });
    expect(await client.closed).to.include({ code: 4004 });
  });

  it('keep who answers pings and cut who does not', async () => {
    const client = await open('/v1/sstream/1?cmd=hang');
    await once(client.socket, 'ping');
    await once(client.socket, 'ping');
    await once(client.socket, 'ping');
    expect(client.socket.readyState).to.equal(client.socket.OPEN);
    client.socket.pause();
    const silent = connect(gateway.port, '127.0.0.1');
    const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`);
    silent.write(`GET /v1/sstream/1?cmd=hang HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`);
    silent.resume();
    await once(silent, 'close');
    client.socket.terminate();
  });

  it('answer routes that are no streams, and other upgrades, as any other request', async () => {
    const unary = await refusal(open('/v1/nop'));
    expect([unary.status, unary.text]).to.deep.equal([200, '{}']);
    expect((await refusal(open('/v1/nothing'))).status).to.equal(404);
    const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}\r\n`);
    for (const path of ['/%zz', '/%', '//x', '*', '/v1/sstream/%ff%']) {
      const bad = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('')}\r\n`);
      const socket = connect(gateway.port, '127.0.0.1');
      socket.write(bad);
      const [answer] = await once(socket, 'data');
      expect(String(answer), path).to.match(/^HTTP\/1\.1 [24]\d\d /);
      socket.destroy();
    }
    const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';
    const raw = `POST /v1/echo HTTP/1.1\r\nHost: x\r\n${h2c}Content-Length: 9\r\n\r\n{"s":"x"}`;
    const again = 'GET /v1/nop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const answer = (await sendRaw(gateway.port, Buffer.from(raw + again))).toString();
    expect(answer).to.match(/^HTTP\/1\.1 200 .*"s":"x".*HTTP\/1\.1 200 .*\{\}$/s);
  });

  it('close with 1001 when the server stops', async () => {
    const other = await startRefGateway({ webSockets: {} });
    const client = await SocketClient.open(other.port, '/v1/sstream/1?cmd=hang');
    await client.first(1);
    await other.close();
    expect(await client.closed).to.include({ code: 1001 });
  });

  it('are not there in a stock gateway, which answers a handshake as any other request', async () => {
    const stock = await startRefGateway();
    const answer = await ask(stock.port, { path: '/v1/sstream/1', headers: HANDSHAKE });
    expect([answer.status, answer.text]).to.deep.equal([200, '{"result":{"seq":0,"text":"t0"}}\n']);
    await stock.close();
  });

  it('notice that a client is gone whose messages are not taken', async () => {
    const cancelled = deferred<void>();
    const stuck = new Duplex({ highWaterMark: 1, read: () => {}, write: () => {} });
    const call = Object.assign(stuck, { cancel: cancelled.resolve });
    const backend = { makeBidiStreamRequest: () => call, close: () => {} } as unknown as Backend;
    const other = await startRefGateway({ backend, webSockets: { pingMs: 50 } });
    const client = await SocketClient.open(other.port, '/v1/bidi');
    for (let i = 0; i < 200; i++) client.send({ text: 'x'.repeat(100_000) });
    await settled(() => client.socket.bufferedAmount);
    client.socket.terminate();
    await cancelled.promise;
    await other.close();
  });

  it('stop reading from a client whose messages are not taken', async () => {
    const taken: Buffer[] = [];
    const stuck = new Duplex({
      highWaterMark: 1,
      read: () => {},
      write: (bytes: Buffer) => {
        taken.push(bytes);
      },
    });
    const call = Object.assign(stuck, { cancel: () => {} });
    const backend = { makeBidiStreamRequest: () => call, close: () => {} } as unknown as Backend;
    const other = await startRefGateway({ backend, webSockets: {} });
    const client = await SocketClient.open(other.port, '/v1/bidi');
    const value = { text: 'x'.repeat(100_000) };
    let sent = 0;
    for (let before = -1; before !== client.socket.bufferedAmount; ) {
      for (let i = 0; i < 100; i++, sent += 100_000) client.send(value);
      before = client.socket.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 300));
      if (client.socket.bufferedAmount < before) before = -1;
    }
    expect(taken.length).to.equal(1);
    expect(client.socket.bufferedAmount).to.be.greaterThan(sent - 8_000_000);
    client.socket.terminate();
    await other.close();
  });
});

describe('WebSockets of the hub', () => {
  let door: HubDoor;

  beforeEach(async () => {
    door = await startHubDoor();
  });
  afterEach(() => door.close());

  const open = (path: string, options = {}) => SocketClient.open(door.port, path, options);
  const token = `bearer.${Buffer.from(TOKEN).toString('base64url')}`;
  const protocols = ['vm-agent.v1', token];

  it('are for who may call without a token, and cancel the call when the client leaves', async () => {
    const client = await open('/events');
    expect(await client.first(1)).to.have.nested.property('[0].result.event.cursor', '1');
    client.socket.terminate();
    await door.hub.watchCancelled;
  });

  it('take a token as a subprotocol, from a page of an allowed origin', async () => {
    const client = await open('/events?types=ten', { protocols, origin: ALLOWED_ORIGIN });
    expect(client.socket.protocol).to.equal('vm-agent.v1');
    expect((await client.first(10)).length).to.equal(10);
    await client.closed;
  });

  const cases: [what: string, options: object, status: number, reason: string][] = [
    ['a foreign page without a token', { origin: 'http://evil.example' }, 403, 'ORIGIN_NOT_ALLOWED'],
    ['a foreign page with a token', { origin: 'http://evil.example', protocols }, 403, 'ORIGIN_NOT_ALLOWED'],
    ['a page without an origin', { origin: 'null', protocols }, 403, 'ORIGIN_NOT_ALLOWED'],
    ['an allowed page without a token', { origin: ALLOWED_ORIGIN }, 403, 'ORIGIN_NOT_ALLOWED'],
    ['a rebound name', { headers: { Host: 'evil.example' } }, 421, 'HOST_NOT_ALLOWED'],
    ['a proxy without a token', { headers: { Via: '1.1 p' } }, 401, 'PROXY_NEEDS_TOKEN'],
    ['a wrong token', { protocols: ['vm-agent.v1', 'bearer.d3Jvbmc'] }, 401, 'NOT_AUTHENTICATED'],
  ];
  for (const [what, options, status, reason] of cases) {
    it(`refuse ${what}`, async () => {
      const refused = await refusal(open('/events', options));
      expect(refused.status, refused.text).to.equal(status);
      expect(JSON.parse(refused.text)).to.have.nested.property('details[0].reason', reason);
    });
  }

  it('leave no connection of a client that was refused and does not hang up', async () => {
    const lines = Object.entries({ ...HANDSHAKE, Origin: 'http://evil.example' }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    const socket = connect({ port: door.port, host: '127.0.0.1', allowHalfOpen: true }).resume();
    socket.write(`GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n${lines.join('')}\r\n`);
    await once(socket, 'end');
    const cut = new Promise((resolve) => socket.once('error', resolve));
    const poke = setInterval(() => socket.write('x'), 100);
    await cut;
    clearInterval(poke);
  });

  it('refuse an offer of subprotocols without theirs, and a token in the address', async () => {
    expect((await refusal(open('/events', { protocols: ['chat'] }))).status).to.equal(400);
    expect((await refusal(open(`/events?token=${TOKEN}`))).status).to.equal(400);
  });

  it('stop reading from the hub while the client does not read, and lose nothing', async () => {
    const client = await open('/tasks/flood/logs?format=BYTES');
    client.socket.pause();
    let before = -1;
    while (before !== door.hub.recordsWritten()) {
      before = door.hub.recordsWritten();
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect(before).to.be.lessThan(FLOOD_RECORDS / 2);
    client.socket.resume();
    expect(await client.closed).to.include({ code: 1000 });
    expect(client.frames.length).to.equal(FLOOD_RECORDS);
  });
});
