import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import {
  Client,
  credentials,
  type handleBidiStreamingCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { createClient } from '../../src/client/index.js';
import { serve } from '../support/worker.js';

/** Streams that a file and a stream take what comes on, as fast as the slower of the two. */
function tee(source: Readable, sinks: readonly Writable[]): void {
  source.on('data', (bytes: Buffer) => {
    const full = sinks.filter((sink) => !sink.write(bytes));
    if (full.length === 0) return;
    source.pause();
    void Promise.all(full.map((sink) => once(sink, 'drain'))).then(() => source.resume());
  });
}

const same = (bytes: Buffer): Buffer => bytes;
const kind = { requestStream: true, responseStream: true };
const codec = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
const PATHS = { give: '/relay.Relay/Give', take: '/relay.Relay/Take' };

/** The middle: what is given goes to a file and to whoever takes. */
async function listen(file: string): Promise<string> {
  const server = new Server();
  let follower: ServerDuplexStream<Buffer, Buffer> | undefined;
  const take: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    follower = call;
    call.resume();
    call.write(Buffer.alloc(0));
  };
  const give: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
    const to = follower;
    if (to === undefined) throw new Error('nobody follows');
    const copy = createWriteStream(file, { highWaterMark: 1 << 20 });
    tee(call, [copy, to]);
    call.on('end', () => copy.end(() => [to, call].forEach((stream) => void stream.end())));
  };
  const service = {
    take: { path: PATHS.take, ...kind, ...codec },
    give: { path: PATHS.give, ...kind, ...codec },
  };
  server.addService(service, { take, give });
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (err: Error | null, at: number) => (err ? reject(err) : resolve(at));
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), bound);
  });
  return `127.0.0.1:${port}`;
}

interface Hop {
  readonly address: string;
}

let ready: { readonly taken: Promise<number> } | undefined;

/** The three parts of a bare relay, and a follower of a real hub. */
export const relay = serve({
  listen,
  /** Runs a command; its output goes to a file and to the relay. Resolves when the relay has it all. */
  async give({ address, command, file }: Hop & { readonly command: string; readonly file: string }) {
    const client = new Client(address, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(PATHS.give, same, same);
    const copy = createWriteStream(file, { highWaterMark: 1 << 20 });
    const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'] });
    tee(child.stdout, [copy, call]);
    child.stdout.on('end', () => copy.end(() => call.end()));
    await once(call.resume(), 'end');
    client.close();
  },
  /** Begins to follow the relay. */
  async follow({ address }: Hop): Promise<void> {
    const client = new Client(address, credentials.createInsecure());
    const call = client.makeBidiStreamRequest(PATHS.take, same, same);
    let bytes = 0;
    const first = once(call, 'data');
    call.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const taken = once(call, 'end').then(() => {
      client.close();
      return bytes;
    });
    ready = { taken };
    await first;
  },
  /** Bytes that came to the end. */
  taken: () => ready?.taken,
  /** Runs a command on an agent and reads its output to the end; answers the bytes. */
  async exec(args: Hop & { readonly token: string; readonly agent: string; readonly command: string }) {
    await using client = createClient({ address: args.address, token: args.token });
    let bytes = 0;
    const onStdout = (data: Uint8Array) => {
      bytes += data.length;
    };
    await client.exec({ agent: args.agent, command: args.command }, { onStdout });
    return bytes;
  },
});

export type Relay = typeof relay;
