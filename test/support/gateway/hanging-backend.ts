import { EventEmitter, once } from 'node:events';
import { Server, ServerCredentials } from '@grpc/grpc-js';

/** What a handler below uses of a call, of whatever kind. */
interface Call {
  write?(message: Buffer): boolean;
  on(event: string, listener: () => void): void;
}

/** A gRPC server whose calls never end by themselves. */
export interface HangingBackend {
  readonly address: string;
  /** Calls that have come and are not over. */
  readonly live: () => number;
  /** Waits until as many calls are live. */
  settle(live: number): Promise<void>;
  close(): void;
}

const same = (bytes: Buffer): Buffer => bytes;
const codec = {
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

/** Methods of ref.v1.Ref, and whether requests and answers are streams. */
const METHODS: readonly (readonly [name: string, requestStream: boolean, responseStream: boolean])[] = [
  ['Slow', false, false],
  ['SStream', false, true],
  ['CStream', true, false],
  ['Bidi', true, true],
];

/** Starts it. Streams of answers begin with one empty message. */
export async function startHangingBackend(): Promise<HangingBackend> {
  const server = new Server();
  const changed = new EventEmitter();
  let live = 0;
  const change = (by: number) => {
    live += by;
    changed.emit('live');
  };
  const hang = (call: Call) => {
    change(1);
    call.on('cancelled', () => change(-1));
    call.on('data', () => {});
    call.write?.(Buffer.alloc(0));
  };
  for (const [name, requestStream, responseStream] of METHODS) {
    const path = `/ref.v1.Ref/${name}`;
    server.addService({ call: { path, requestStream, responseStream, ...codec } }, { call: hang as never });
  }
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (err, bound) =>
      err === null ? resolve(bound) : reject(err),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    live: () => live,
    settle: async (wanted) => {
      while (live !== wanted) await once(changed, 'live');
    },
    close: () => server.forceShutdown(),
  };
}
