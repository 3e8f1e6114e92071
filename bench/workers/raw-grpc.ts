import { once } from 'node:events';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { RAW_ECHO, RAW_UNARY } from '../support/raw-paths.js';
import { serve } from '../support/worker.js';

const same = (bytes: Buffer): Buffer => bytes;

function method(path: string, streaming: boolean) {
  return {
    path,
    requestStream: streaming,
    responseStream: streaming,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

async function listen(reply: Buffer, address: string): Promise<string> {
  const server = new Server();
  const unary: handleUnaryCall<Buffer, Buffer> = (_call, callback) => callback(null, reply);
  const echo: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    call.on('error', () => {});
    call.on('end', () => call.end());
    call.on('data', (bytes: Buffer) => {
      if (call.write(bytes)) return;
      call.pause();
      void once(call, 'drain').then(() => call.resume());
    });
  };
  const handlers: UntypedServiceImplementation = { unary, echo };
  server.addService({ unary: method(RAW_UNARY, false), echo: method(RAW_ECHO, true) }, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (err, bound) =>
      err ? reject(err) : resolve(bound),
    );
  });
  return address.startsWith('unix:') ? address : `127.0.0.1:${port}`;
}

/** A bare grpc-js server: answers every unary call with the same bytes, sends back what comes on a stream. */
export const rawGrpc = serve({
  listen: (args: { readonly reply: string; readonly address?: string }) =>
    listen(Buffer.from(args.reply, 'base64'), args.address ?? '127.0.0.1:0'),
});

export type RawGrpc = typeof rawGrpc;
