import { expect } from 'chai';
import { type RunningGateway, startGateway } from '../../../src/app/gateway.js';
import { Disposer } from '../../../src/base/disposer.js';
import { silentLogger } from '../../../src/base/logger.js';
import { ask } from '../../support/gateway/http-client.js';
import { startRefBackend } from '../../support/gateway/ref-backend.js';
import { buildRefDescriptors } from '../../support/gateway/ref-descriptors.js';
import { refusal, SocketClient } from '../../support/gateway/socket-client.js';

const PAGES = 'https://pages.example';

describe('a gateway for web pages', () => {
  const cleanup = new Disposer();
  let gateway: RunningGateway;
  let descriptorSet = '';
  let target = '';

  before(async () => {
    const descriptors = await buildRefDescriptors();
    cleanup.defer(() => descriptors[Symbol.dispose]());
    const backend = cleanup.use(await startRefBackend(descriptors.protoDir));
    descriptorSet = descriptors.file;
    target = backend.address;
    const cursor = { method: 'ref.v1.Ref/SStream', responseField: 'seq', requestField: 'n' };
    gateway = cleanup.use(
      await startGateway({
        ...{ descriptorSet, target, listen: '127.0.0.1:0', log: silentLogger },
        webSockets: true,
        corsOrigins: [PAGES],
        streamCursors: [cursor],
      }),
    );
  });
  after(() => cleanup.close());

  const open = (options: object) => SocketClient.open(gateway.address.port, '/v1/sstream/1', options);

  it('takes the cursor of a stream that its proto does not declare', async () => {
    const headers = { Accept: 'text/event-stream', 'Last-Event-ID': '2' };
    const { text } = await ask(gateway.address.port, { path: '/v1/sstream/9', headers });
    expect(text).to.match(
      /^retry: 2000\n\nid: 0\ndata: .*\n\nid: 1\ndata: .*\n\nevent: end\ndata: \{\}\n\n$/,
    );
  });

  it('lets pages of named origins read, and no others', async () => {
    const from = (origin: string) =>
      ask(gateway.address.port, { path: '/v1/nop', headers: { Origin: origin } });
    expect((await from(PAGES)).headers).to.include({ 'access-control-allow-origin': PAGES });
    expect((await from('https://evil.example')).headers).not.to.have.property('access-control-allow-origin');
  });

  it('takes WebSockets of programs, of its own pages and of named origins', async () => {
    for (const origin of [undefined, PAGES, `http://127.0.0.1:${gateway.address.port}`]) {
      const client = await open(origin === undefined ? {} : { origin });
      expect(await client.closed, origin).to.include({ code: 1000 });
    }
  });

  it('refuses WebSockets of other pages, which could read all that its target tells this computer', async () => {
    const refused = await refusal(open({ origin: 'https://evil.example' }));
    expect(refused.status).to.equal(403);
    expect(refused.text).to.contain('--cors-origin');
  });

  for (const [what, responseField, requestField, method] of [
    ['a field that is not there', 'nothing', 'n', 'SStream'],
    ['a request field that is not there', 'seq', 'nothing', 'SStream'],
    ['a field that is no position', 'seq', 'after', 'CStream'],
    ['a method that is not there', 'seq', 'n', 'Nothing'],
  ] as const) {
    it(`does not start with a cursor of ${what}`, async () => {
      const cursor = { method: `ref.v1.Ref/${method}`, responseField, requestField };
      const options = { descriptorSet, target, listen: '127.0.0.1:0', log: silentLogger };
      const starting = startGateway({ ...options, streamCursors: [cursor] });
      const reason = await starting.then(
        () => 'it started',
        (err: unknown) => String(err),
      );
      expect(reason).to.contain(method);
    });
  }
});
