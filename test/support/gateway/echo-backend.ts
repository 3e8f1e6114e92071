import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { RefBackend } from './ref-backend.js';

const same = (bytes: Buffer): Buffer => bytes;

/** Answers every call of some unary methods with the bytes of its request. */
export async function startEchoBackend(paths: readonly string[]): Promise<RefBackend> {
  const server = new Server();
  for (const path of paths) {
    const shape = { path, requestStream: false, responseStream: false };
    const codec = {
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    server.addService(
      { call: { ...shape, ...codec } },
      {
        call: (call: { request: Buffer }, done: (err: null, answer: Buffer) => void) =>
          done(null, call.request),
      },
    );
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (err, bound) =>
      err === null ? resolve(bound) : reject(err),
    );
  });
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}
