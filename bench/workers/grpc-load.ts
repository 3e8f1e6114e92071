import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { percentile } from '../support/rounds.js';
import { serve } from '../support/worker.js';

/** Calls of one unary method with the same bytes. */
export interface UnaryLoad {
  readonly address: string;
  readonly path: string;
  readonly token?: string;
  /** Base64; request n is `requests[n % requests.length]`. */
  readonly requests: readonly string[];
  readonly count: number;
  readonly inFlight: number;
}

const same = (bytes: Buffer): Buffer => bytes;
const clients = new Map<string, Client>();

function clientOf(address: string): Client {
  const known = clients.get(address);
  if (known) return known;
  const client = new Client(address, credentials.createInsecure(), { 'grpc.enable_retries': 0 });
  clients.set(address, client);
  return client;
}

function unary(client: Client, path: string, bytes: Buffer, metadata: Metadata): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, bytes, metadata, (err, answer) => {
      if (err) reject(err);
      else resolve(answer ?? Buffer.alloc(0));
    });
  });
}

async function load({ address, path, token, requests, count, inFlight }: UnaryLoad) {
  const client = clientOf(address);
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const bytes = requests.map((request) => Buffer.from(request, 'base64'));
  let next = 0;
  const times: number[] = [];
  const one = async () => {
    while (next < count) {
      const sent = performance.now();
      await unary(client, path, bytes[next++ % bytes.length] ?? Buffer.alloc(0), metadata);
      times.push(performance.now() - sent);
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: inFlight }, one));
  const rate = (count * 1000) / (performance.now() - begin);
  return { rate, p50Ms: percentile(times, 50), p99Ms: percentile(times, 99) };
}

/** Messages of one stream of answers per second. @throws when there are not as many as expected. */
function messages({ address, path, token, requests, count }: Omit<UnaryLoad, 'inFlight'>): Promise<number> {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const request = Buffer.from(requests[0] ?? '', 'base64');
  const begin = performance.now();
  const call = clientOf(address).makeServerStreamRequest(path, same, same, request, metadata);
  return new Promise((resolve, reject) => {
    let seen = 0;
    call.on('error', reject);
    call.on('data', () => {
      seen += 1;
    });
    call.on('end', () => {
      if (seen === count) resolve((count * 1000) / (performance.now() - begin));
      else reject(new Error(`${seen} messages in place of ${count}`));
    });
  });
}

/** Messages that are on their way and back on one stream. */
export interface EchoLoad {
  readonly address: string;
  readonly path: string;
  readonly bytes: number;
  readonly count: number;
  readonly inFlight: number;
}

/** Milliseconds of each message's way there and back. */
function echo({ address, path, bytes, count, inFlight }: EchoLoad): Promise<number[]> {
  const message = Buffer.alloc(bytes);
  const call = clientOf(address).makeBidiStreamRequest(path, same, same);
  const sentMs: number[] = [];
  const times: number[] = [];
  return new Promise((resolve, reject) => {
    const send = () => {
      if (sentMs.length >= count) return;
      sentMs.push(performance.now());
      call.write(message);
    };
    call.on('error', reject);
    call.on('data', () => {
      times.push(performance.now() - (sentMs[times.length] ?? 0));
      if (times.length < count) send();
      else {
        call.end();
        resolve(times);
      }
    });
    for (let n = 0; n < inFlight; n++) send();
  });
}

/** Opens streams, each on a connection of its own; resolves when each has carried a message there and back. */
async function hold({ address, path, count }: Pick<EchoLoad, 'address' | 'path' | 'count'>): Promise<void> {
  const options = { 'grpc.enable_retries': 0, 'grpc.use_local_subchannel_pool': 1 };
  const streams = Array.from({ length: count }, () => {
    const client = new Client(address, credentials.createInsecure(), options);
    const call = client.makeBidiStreamRequest(path, same, same);
    call.on('error', () => {});
    call.write(Buffer.alloc(100));
    return new Promise((resolve) => call.once('data', resolve));
  });
  await Promise.all(streams);
}

/** Generates load. */
export const grpcLoad = serve({
  /** Calls per second. */
  unary: async (args: UnaryLoad): Promise<number> => (await load(args)).rate,
  /** Calls per second, and how long they took. */
  unaryTimes: load,
  messages,
  /** Messages per second. */
  async echoes(args: EchoLoad): Promise<number> {
    const begin = performance.now();
    await echo(args);
    return (args.count * 1000) / (performance.now() - begin);
  },
  /** Milliseconds of each message. */
  echoTimes: echo,
  hold,
  /** One call; its answer in base64. */
  async once(args: Omit<UnaryLoad, 'count' | 'inFlight'>): Promise<string> {
    const metadata = new Metadata();
    if (args.token !== undefined) metadata.set('authorization', `Bearer ${args.token}`);
    const bytes = Buffer.from(args.requests[0] ?? '', 'base64');
    return (await unary(clientOf(args.address), args.path, bytes, metadata)).toString('base64');
  },
});

export type GrpcLoad = typeof grpcLoad;
