import { connect } from 'node:net';
import { expect } from 'chai';
import { deferred } from '../../../src/base/deferred.js';
import { allowLongBody } from '../../../src/bridge/client-errors.js';
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

  const HOST = 'Host: a\r\n';
  const LOCAL = { host: '127.0.0.1', port: 0 };
  const refused: [what: string, request: string, status: number, code: number][] = [
    ['headers that never end', 'GET / HTTP/1.1\r\nHost:', 408, 4],
    ['a body that never ends', `POST / HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\nx`, 408, 4],
    ['headers over 16 KiB', `GET / HTTP/1.1\r\n${HOST}A: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 3],
    ['a path over 16 KiB', `GET /${'x'.repeat(200_000)} HTTP/1.1\r\n${HOST}\r\n`, 431, 3],
    ['a method that nobody knows', `FOO / HTTP/1.1\r\n${HOST}\r\n`, 501, 12],
    ['CONNECT', `CONNECT b:1 HTTP/1.1\r\n${HOST}\r\n`, 400, 3],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400, 3],
    ['another version', `GET / HTTP/2.1\r\n${HOST}\r\n`, 400, 3],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 3],
    ['an expectation', `POST / HTTP/1.1\r\n${HOST}Expect: more\r\nContent-Length: 1\r\n\r\nx`, 417, 3],
    [
      'a length and chunks',
      `POST / HTTP/1.1\r\n${HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      3,
    ],
    [
      'chunks and a length',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
      400,
      3,
    ],
    ['two lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`, 400, 3],
    ['a list of lengths', `POST / HTTP/1.1\r\n${HOST}Content-Length: 1, 1\r\n\r\nx`, 400, 3],
    ['a length with a sign', `POST / HTTP/1.1\r\n${HOST}Content-Length: +1\r\n\r\nx`, 400, 3],
    ['a length over 64 bits', `POST / HTTP/1.1\r\n${HOST}Content-Length: ${'9'.repeat(23)}\r\n\r\nx`, 400, 3],
    [
      'chunks twice',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      3,
    ],
    [
      'another coding',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      501,
      12,
    ],
    ['chunks in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 3],
    ['lines without CR', 'GET / HTTP/1.1\nHost: a\n\n', 400, 3],
    ['a header without CR', 'GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n', 400, 3],
    ['a header without LF', 'GET / HTTP/1.1\r\nHost: a\rB: c\r\n\r\n', 400, 3],
    ['a folded header', `GET / HTTP/1.1\r\n${HOST}B: c\r\n d\r\n\r\n`, 400, 3],
    [
      'a space before the colon',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
      400,
      3,
    ],
    ['a NUL', `GET / HTTP/1.1\r\n${HOST}B: c\0d\r\n\r\n`, 400, 3],
    ['a chunk without CR', `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n`, 400, 3],
    [
      'a chunk of no size',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n`,
      400,
      3,
    ],
    [
      'a chunk that is longer than it says',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n`,
      400,
      3,
    ],
    [
      'long chunk extensions',
      `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(20_000)}\r\nx`,
      413,
      8,
    ],
  ];
  for (const [what, request, status, code] of refused) {
    it(`answers ${status} in JSON to ${what}`, async () => {
      const answer = String(await sendRaw(server.port, Buffer.from(request)));
      expect(answer).to.match(
        new RegExp(`^HTTP/1.1 ${status} .*application/json.*\\{"code":${code},.*\\}`, 's'),
      );
      expect(answer.match(/HTTP\/1\.1 \d/g)).to.have.length(1);
      expect((await ask(server.port, { path: '/' })).text).to.equal('done');
    });
  }

  it('answers what stands before a bad request first', async () => {
    const good = `GET / HTTP/1.1\r\n${HOST}\r\n`;
    const answer = String(await sendRaw(server.port, Buffer.from(`${good}${good}FOO\r\n\r\n`)));
    expect(answer.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 501']);
    expect(answer).to.match(/done.*done.*\{"code":12,/s);
  });

  it('tells an answer that waits behind another one when its connection closes', async () => {
    const closed: string[] = [];
    const all = deferred();
    const waiting = await listenHttp(
      (req, res) => {
        res.once('close', () => {
          closed.push(req.url ?? '');
          if (closed.length === 2) all.resolve();
        });
        if (req.url === '/b') socket.destroy();
      },
      { host: '127.0.0.1', port: 0 },
    );
    const socket = connect(waiting.port, '127.0.0.1');
    try {
      socket.write(`GET /a HTTP/1.1\r\n${HOST}\r\nGET /b HTTP/1.1\r\n${HOST}\r\n`);
      await all.promise;
      expect(closed).to.have.members(['/a', '/b']);
    } finally {
      await waiting.close(0);
    }
  });

  it('writes nothing into an answer that has begun, and ends it', async () => {
    const streaming = await listenHttp((_req, res) => void res.write('begun'), {
      host: '127.0.0.1',
      port: 0,
    });
    try {
      const broken = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n`;
      const answer = await sendInTwo(streaming.port, broken, 'begun', 'zz\r\n');
      expect(answer).to.match(/^HTTP\/1.1 200 /);
      expect(answer).to.match(/begun\r\n$/);
    } finally {
      await streaming.close(0);
    }
  });

  it('lets the body of a stream take its time', async () => {
    const limits = { host: '127.0.0.1', port: 0, headersTimeoutMs: 100, requestTimeoutMs: 200 };
    const patient = await listenHttp((req, res) => {
      allowLongBody(req);
      res.flushHeaders();
      req.pipe(res);
    }, limits);
    try {
      const head = `POST / HTTP/1.1\r\n${HOST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
      const socket = connect(patient.port, '127.0.0.1');
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      socket.write(head);
      for (let i = 0; i < 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        socket.write('1\r\nx\r\n');
      }
      socket.write('0\r\n\r\n');
      await new Promise((resolve) => socket.once('close', resolve));
      expect(answer.match(/x/g)).to.have.length(10);
    } finally {
      await patient.close(0);
    }
  });

  it('tells those who wait behind another answer, too, that their client is gone', async () => {
    const gone: string[] = [];
    const started = deferred<void>();
    const [waiting, told] = [3, deferred<void>()];
    const quiet = await listenHttp((req, res) => {
      res.once('close', () => gone.push(req.url ?? '') === waiting && told.resolve());
      if (req.url === '/3') started.resolve();
    }, LOCAL);
    try {
      const socket = connect(quiet.port, '127.0.0.1');
      socket.write([1, 2, 3].map((i) => `GET /${i} HTTP/1.1\r\n${HOST}\r\n`).join(''));
      await started.promise;
      socket.destroy();
      await told.promise;
      expect(gone.sort()).to.deep.equal(['/1', '/2', '/3']);
    } finally {
      await quiet.close(0);
    }
  });

  it('cuts a connection on which more requests wait than anybody needs', async () => {
    let seen = 0;
    const quiet = await listenHttp(() => void seen++, LOCAL);
    try {
      const socket = connect(quiet.port, '127.0.0.1').on('error', () => {});
      socket.write(`GET / HTTP/1.1\r\n${HOST}\r\n`.repeat(5000));
      await new Promise((resolve) => socket.once('close', resolve));
      expect(seen).to.equal(1000);
    } finally {
      await quiet.close(0);
    }
  });

  it('takes no more connections than its limit', async () => {
    const small = await listenHttp((_req, res) => res.end('done'), { ...LOCAL, maxConnections: 1 });
    try {
      const first = connect(small.port, '127.0.0.1');
      await new Promise((resolve) => first.once('connect', resolve));
      expect(String(await sendRaw(small.port, Buffer.from(`GET / HTTP/1.1\r\n${HOST}\r\n`)))).to.equal('');
      first.destroy();
    } finally {
      await small.close(0);
    }
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

/** Sends a text, and another one once the answer holds a word; answers all that came. */
function sendInTwo(port: number, first: string, until: string, second: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    let isSent = false;
    const socket = connect(port, '127.0.0.1', () => socket.write(first));
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    socket.on('data', (chunk) => {
      answer += chunk;
      if (isSent || !answer.includes(until)) return;
      isSent = true;
      socket.write(second);
    });
  });
}
