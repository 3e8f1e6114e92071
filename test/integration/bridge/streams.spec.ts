import { connect } from 'node:net';
import { expect } from 'chai';
import { createJsonLogger } from '../../../src/base/logger.js';
import { ask } from '../../support/gateway/http-client.js';
import { startRefGateway } from '../../support/gateway/ref-gateway.js';
import { sendRaw } from '../../support/gateway/replay.js';
import { settled } from '../../support/settled.js';

describe('bridge streams and errors', () => {
  let gateway: Awaited<ReturnType<typeof startRefGateway>>;

  before(async () => {
    gateway = await startRefGateway();
  });
  after(() => gateway.close());

  const info = '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"","metadata":{}}';

  it('answers an error before the first message with its HTTP status', async () => {
    const answer = await ask(gateway.port, { path: '/v1/sstream/3?cmd=failfirst' });
    expect(answer.status).to.equal(404);
    expect(answer.text).to.equal('{"error":{"code":5,"message":"nope","details":[]}}\n');
  });

  it('writes an error between messages as the last line', async () => {
    const answer = await ask(gateway.port, { path: '/v1/sstream/1?cmd=faillast' });
    expect(answer.status).to.equal(200);
    expect(answer.text.split('\n')).to.deep.equal([
      '{"result":{"seq":0,"text":"t0"}}',
      `{"error":{"code":13,"message":"boom","details":[${info}]}}`,
      '',
    ]);
  });

  it('ends a stream at its deadline', async () => {
    const headers = { 'Grpc-Timeout': '200m' };
    const answer = await ask(gateway.port, { path: '/v1/sstream/1?cmd=hang', headers });
    expect(answer.text.split('\n')[1]).to.equal(
      '{"error":{"code":4,"message":"context deadline exceeded","details":[]}}',
    );
  });

  it('sends every value of a long client stream, in order', async () => {
    const body = Array.from({ length: 2000 }, (_, i) =>
      JSON.stringify({ text: `${i}`.padEnd(100, '.') }),
    ).join('\n');
    const answer = await ask(gateway.port, { method: 'POST', path: '/v1/cstream', body });
    const { count, texts } = answer.json() as { count: number; texts: string[] };
    expect(count).to.equal(2000);
    expect(texts.map((text) => Number.parseInt(text, 10))).to.deep.equal([...Array(2000).keys()]);
  });

  it('expands the details of an error, type first', async () => {
    const body = '{"code":9,"message":"m","detail":"WHY"}';
    const answer = await ask(gateway.port, { method: 'POST', path: '/v1/fail', body });
    expect(answer.status).to.equal(400);
    expect(answer.text).to.contain('{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":null}');
    expect(answer.headers['grpc-metadata-x-hdr']).to.equal('h1');
  });

  it('take it for no failure of their own when a client leaves in the middle of its body', async () => {
    const lines: string[] = [];
    const other = await startRefGateway({
      log: createJsonLogger((line) => lines.push(line), { level: 'info' }),
    });
    for (const path of ['/v1/echo', '/v1/cstream', '/v1/bidi']) {
      const socket = connect(other.port, '127.0.0.1');
      socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{`);
      await settled(() => socket.bytesWritten);
      socket.destroy();
    }
    await settled(() => lines.length);
    await other.close();
    expect(lines).to.deep.equal([]);
  });

  it('tells a client to go on with its body only when the answers before it are out', async () => {
    const head = 'HTTP/1.1\r\nHost: a\r\n';
    const late = `POST /v1/body ${head}Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`;
    const answer = String(await sendRaw(gateway.port, Buffer.from(`GET /v1/slow/50 ${head}\r\n${late}`)));
    const order = (answer.match(/HTTP\/1\.1 \d+|<b>/g) ?? []).join(' ');
    expect(order).to.match(/^HTTP\/1\.1 200 (HTTP\/1\.1 100 )?HTTP\/1\.1 200 <b>$/);
  });
});
