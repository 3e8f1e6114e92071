import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { startGateway } from '../../../src/app/gateway.js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { type HangingBackend, startHangingBackend } from '../../support/gateway/hanging-backend.js';
import { buildRefDescriptors } from '../../support/gateway/ref-descriptors.js';

const HOST = 'Host: a\r\n';
const CHUNKED = `${HOST}Transfer-Encoding: chunked\r\n\r\n`;
const CHUNK = 'b\r\n{"seq": 1}\n\r\n';
/** Clients at a time that go away together. */
const CROWD = 100;

// Whoever goes away leaves no call behind at the server that the gateway calls.
describe('clients that leave', () => {
  const parts = new Disposer();
  let backend: HangingBackend;
  let port: number;

  before(async () => {
    const descriptors = await buildRefDescriptors();
    parts.defer(() => descriptors[Symbol.dispose]());
    backend = parts.use(await startHangingBackend());
    const gateway = await startGateway({
      descriptorSet: descriptors.file,
      target: backend.address,
      listen: '127.0.0.1:0',
      log: silentLogger,
    });
    port = parts.use(gateway).address.port;
  });
  after(() => parts.close());

  function open(request: string): Socket {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    return socket.on('error', () => {});
  }

  const requests: [what: string, request: string, calls: number][] = [
    ['a call', `GET /v1/slow/5 HTTP/1.1\r\n${HOST}\r\n`, 1],
    ['a stream', `GET /v1/sstream/5 HTTP/1.1\r\n${HOST}\r\n`, 1],
    ['events', `GET /v1/sstream/5 HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`, 1],
    ['a client stream that goes on', `POST /v1/cstream HTTP/1.1\r\n${CHUNKED}${CHUNK}`, 1],
    ['a client stream that has ended', `POST /v1/cstream HTTP/1.1\r\n${CHUNKED}${CHUNK}0\r\n\r\n`, 1],
    ['a stream both ways', `POST /v1/bidi HTTP/1.1\r\n${CHUNKED}${CHUNK}`, 1],
    ['a stream both ways with half a value', `POST /v1/bidi HTTP/1.1\r\n${CHUNKED}5\r\n{"seq\r\n3\r\n`, 1],
    [
      'calls that wait behind each other',
      ['/v1/slow/5', '/v1/sstream/5', '/v1/slow/6']
        .map((path) => `GET ${path} HTTP/1.1\r\n${HOST}\r\n`)
        .join(''),
      3,
    ],
  ];
  for (const [what, request, calls] of requests) {
    it(`take ${what} with them`, async () => {
      const socket = open(request);
      await backend.settle(calls);
      socket.destroy();
      await backend.settle(0);
    });

    it(`take ${what} with them when they only say that they have done`, async () => {
      const socket = open(request);
      await backend.settle(calls);
      socket.end();
      await backend.settle(0);
      socket.destroy();
    });
  }

  it('take a stream with them that breaks the rules of HTTP midway', async () => {
    const socket = open(`POST /v1/bidi HTTP/1.1\r\n${CHUNKED}${CHUNK}`);
    await once(socket, 'data');
    expect(backend.live()).to.equal(1);
    socket.write('no chunk\r\n');
    await backend.settle(0);
    socket.destroy();
  });

  it('call nobody when they leave in the middle of a body', async () => {
    const socket = open(`POST /v1/echo HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\n{"id":`);
    await once(socket, 'connect');
    socket.destroy();
    const next = open(`GET /v1/slow/5 HTTP/1.1\r\n${HOST}\r\n`);
    await backend.settle(1);
    next.destroy();
    await backend.settle(0);
  });

  it(`leave nothing when ${CROWD} of them leave at once`, async () => {
    const [, , events] = requests;
    const sockets = Array.from({ length: CROWD }, () => open(events?.[1] ?? ''));
    await backend.settle(CROWD);
    for (const socket of sockets) socket.destroy();
    await backend.settle(0);
  });
});
