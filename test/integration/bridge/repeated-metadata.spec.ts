import { Client, credentials, Metadata, Server, ServerCredentials } from '@grpc/grpc-js';
import { expect } from 'chai';
import { keepRepeatedMetadata } from '../../../src/bridge/repeated-metadata.js';

interface Call {
  readonly request: Buffer;
  sendMetadata(metadata: Metadata): void;
}
type Done = (err: object | null, bytes?: Buffer, trailers?: Metadata) => void;

const same = (bytes: Buffer): Buffer => bytes;

describe('repeated metadata', () => {
  let server: Server;
  let client: Client;

  before(async () => {
    keepRepeatedMetadata();
    keepRepeatedMetadata();
    server = new Server();
    const codec = {
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    const call = { path: '/a.A/Call', requestStream: false, responseStream: false, ...codec };
    const answer = (call: Call, done: Done) => {
      call.sendMetadata(sent());
      if (call.request.length > 0) done({ code: 5, details: 'gone', metadata: sent() });
      else done(null, Buffer.alloc(0), sent());
    };
    server.addService({ call }, { call: answer } as never);
    const port = await new Promise<number>((resolve, reject) => {
      const bound = (err: Error | null, at: number) => (err ? reject(err) : resolve(at));
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
    });
    client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  });
  after(() => {
    client.close();
    server.forceShutdown();
  });

  /** Headers and trailers of a call. */
  const receive = (request: Buffer): Promise<[Metadata, Metadata]> =>
    new Promise((resolve) => {
      let headers = new Metadata();
      const call = client.makeUnaryRequest('/a.A/Call', same, same, request, new Metadata(), {}, () => {});
      call.on('metadata', (received) => {
        headers = received;
      });
      call.on('status', (status) => resolve([headers, status.metadata]));
    });

  for (const [what, request] of [
    ['an answer', ''],
    ['a failure', 'x'],
  ] as const) {
    it(`keeps its values apart, in headers and trailers of ${what}`, async () => {
      for (const metadata of await receive(Buffer.from(request))) {
        expect(metadata.get('x-many')).to.deep.equal(['1', '2, 3', '']);
        expect(metadata.get('x-one')).to.deep.equal(['a, b']);
        expect(metadata.get('x-bin')).to.deep.equal([Buffer.from('a'), Buffer.from('b')]);
      }
    });
  }

  function sent(): Metadata {
    const metadata = new Metadata();
    for (const value of ['1', '2, 3', '']) metadata.add('x-many', value);
    metadata.add('x-one', 'a, b');
    for (const value of ['a', 'b']) metadata.add('x-bin', Buffer.from(value));
    return metadata;
  }
});
