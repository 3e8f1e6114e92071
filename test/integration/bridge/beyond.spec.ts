import { connect } from 'node:net';
import { expect } from 'chai';
import { ask } from '../../support/gateway/http-client.js';
import { type RefGateway, startRefGateway } from '../../support/gateway/ref-gateway.js';
import { sendRaw } from '../../support/gateway/replay.js';

const LIMIT = 100_000;

describe('bridge beyond grpc-gateway', () => {
  let gateway: RefGateway;

  before(async () => {
    gateway = await startRefGateway({
      methodNotAllowed: 405,
      rejectUnknownFields: 'on-request',
      fieldViolations: true,
      bodyLimit: LIMIT,
    });
  });
  after(() => gateway.close());

  const get = (path: string, headers: Record<string, string> = {}) => ask(gateway.port, { path, headers });
  const post = (path: string, body: string, type = 'application/json') =>
    ask(gateway.port, { method: 'POST', path, headers: { 'Content-Type': type }, body });

  describe('?pretty', () => {
    const PRETTY = '{\n  "code": 5,\n  "message": "Not Found",\n  "details": []\n}';

    it('indents answers and errors of any route', async () => {
      expect((await get('/v1/meta?pretty')).text).to.match(/^\{\n {2}"md": \[\n {4}"/);
      for (const path of ['/nothing?pretty', '/nothing?a=b&pretty=true', '/nothing?pretty=1&a']) {
        expect((await get(path)).text, path).to.equal(PRETTY);
      }
      expect((await get('/healthz?pretty')).text).to.equal('{\n  "status": "SERVING"\n}\n');
    });

    it('is asked for by Accept as well', async () => {
      expect((await get('/nothing', { Accept: 'application/json+pretty' })).text).to.equal(PRETTY);
    });

    it('is off by default, when it is false, and for parts of other words', async () => {
      for (const path of ['/nothing', '/nothing?pretty=false', '/nothing?prettyx', '/nothing?x=pretty']) {
        expect((await get(path)).text, path).not.to.contain('\n');
      }
    });

    it('leaves streams a message a line', async () => {
      expect((await get('/v1/sstream/1?pretty')).text).to.equal('{"result":{"seq":0,"text":"t0"}}\n');
    });
  });

  describe('application/json+strict', () => {
    const body = '{"s":"x","nope":1,"nested":{"name":"n","bad":{}},"rn":[{},{"worse":1}],"mn":{"k":{"q":0}}}';

    it('names all unknown fields with their paths', async () => {
      const answer = await post('/v1/echo', body, 'application/json+strict; charset=utf-8');
      expect(answer.status).to.equal(400);
      const { message, details } = answer.json() as {
        message: string;
        details: { fieldViolations: object[] }[];
      };
      const fields = details[0]?.fieldViolations.map((violation) => (violation as { field: string }).field);
      expect(fields).to.include.members(['nope', 'nested.bad', 'rn[1].worse']);
      for (const field of fields ?? []) expect(message).to.contain(JSON.stringify(field));
    });

    it('lets known fields through, by each of their names', async () => {
      const answer = await post('/v1/echo', '{"optI":1,"opt_s":"x"}', 'application/json+strict');
      expect(answer.status, answer.text).to.equal(200);
    });

    it('is not how other requests are read', async () => {
      expect((await post('/v1/echo', '{"s":"x","nope":1}')).status).to.equal(200);
    });
  });

  it('answers 405 with the methods of a path, when that is wanted', async () => {
    const answer = await ask(gateway.port, { method: 'PATCH', path: '/v1/nop' });
    expect([answer.status, answer.headers.allow]).to.deep.equal([405, 'DELETE, GET, POST']);
    expect(answer.json()).to.include({ code: 12, message: 'Method Not Allowed' });
    expect((await ask(gateway.port, { method: 'PATCH', path: '/nothing' })).status).to.equal(404);
  });

  describe('the limit of bodies', () => {
    const head = (lines: string[]) => `POST /v1/echo HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`;

    it('answers 413 to a client that only reads once it has sent all', async () => {
      const size = 20_000_000;
      const socket = connect(gateway.port, '127.0.0.1');
      socket.pause();
      socket.write(head([`Content-Length: ${size}`]));
      await new Promise<void>((resolve, reject) => {
        socket.on('error', reject);
        socket.write(Buffer.alloc(size, 0x20), () => resolve());
      });
      let text = '';
      for await (const chunk of socket) text += chunk;
      expect(text).to.match(/^HTTP\/1\.1 413 .*"code":8/s);
      expect(text).to.match(/connection: close/i);
    });

    it('answers 413 while a body without an end still comes', async () => {
      const socket = connect(gateway.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(head(['Transfer-Encoding: chunked']));
      const piece = `10000\r\n${'x'.repeat(65_536)}\r\n`;
      const more = setInterval(() => socket.write(piece), 5);
      let text = '';
      for await (const chunk of socket) {
        text += chunk;
        if (text.includes('"code":8')) break;
      }
      clearInterval(more);
      expect(text).to.match(/^HTTP\/1\.1 413 /);
    });

    it('answers a client that asks first without letting it send', async () => {
      const asking = head([`Content-Length: ${LIMIT + 1}`, 'Expect: 100-continue']);
      expect((await sendRaw(gateway.port, Buffer.from(asking))).toString()).to.match(/^HTTP\/1\.1 413 /);
    });

    it('lets a client send that asks first and fits', async () => {
      const socket = connect(gateway.port, '127.0.0.1');
      socket.write(head(['Content-Length: 9', 'Expect: 100-continue', 'Connection: close']));
      let text = '';
      for await (const chunk of socket) {
        text += chunk;
        if (text === 'HTTP/1.1 100 Continue\r\n\r\n') socket.write('{"s":"y"}');
      }
      expect(text).to.match(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 .*"s":"y"/s);
    });
  });
});
