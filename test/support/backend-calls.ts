import { credentials, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import type { AnsweredCall, Backend, CallOptions, ReceivingCall } from '../../src/bridge/backend.js';
import { dial } from '../../src/bridge/dial.js';
import { ADMIN as ADMIN_CALLER } from '../../src/security/caller.js';
import { ADMIN, metadataOf, type RpcHarness } from './rpc-harness.js';

type Way = (rpc: RpcHarness) => Backend;

/** The ways to call the operators' services; calls behave alike on all. */
export const WAYS: readonly (readonly [how: string, way: Way])[] = [
  ['over a connection', (rpc) => dial(`127.0.0.1:${rpc.port}`, credentials.createInsecure())],
  ['within the process', (rpc) => rpc.server.inProcess],
];

/** A server that is called as admin. */
export class BackendCalls implements AsyncDisposable {
  private constructor(
    readonly rpc: RpcHarness,
    readonly backend: Backend,
  ) {}

  static async open(rpc: RpcHarness, way: Way): Promise<BackendCalls> {
    await rpc.start();
    return new BackendCalls(rpc, way(rpc));
  }

  /** How a call with one answer ends. */
  unary(path: string, request: Uint8Array, more: UnaryOptions = {}): Promise<UnaryEnd> {
    const metadata = metadataOf({ ...ADMIN, ...more.metadata });
    const options = { caller: ADMIN_CALLER, ...more.options };
    return new Promise((resolve) => {
      let end: Omit<UnaryEnd, 'status'> = { err: null };
      const done = (err: ServiceError | null, answer?: Buffer) => {
        end = answer === undefined ? { err } : { err, answer };
      };
      const call = this.backend.makeUnaryRequest(path, Buffer.from(request), metadata, options, done);
      more.started?.(call);
      call.once('status', (status: unknown) => resolve({ ...end, status: status as StatusObject }));
    });
  }

  /** A call with a stream of answers. */
  stream(path: string, request: Uint8Array, options: CallOptions = {}): ReceivingCall {
    const as = { caller: ADMIN_CALLER, ...options };
    return this.backend.makeServerStreamRequest(path, Buffer.from(request), metadataOf(ADMIN), as);
  }

  /** A call with a stream in each direction. */
  bidi(path: string, options: CallOptions = {}): ReturnType<Backend['makeBidiStreamRequest']> {
    return this.backend.makeBidiStreamRequest(path, metadataOf(ADMIN), { caller: ADMIN_CALLER, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.backend.close();
    await this.rpc[Symbol.asyncDispose]();
  }
}

interface UnaryOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly options?: CallOptions;
  readonly started?: (call: AnsweredCall) => void;
}

/** How a call with one answer ended. */
export interface UnaryEnd {
  readonly err: ServiceError | null;
  readonly answer?: Buffer;
  readonly status: StatusObject;
}

/** How a call with a stream of answers ends. It is read to its end. */
export function statusOf(call: ReceivingCall): Promise<StatusObject> {
  call.on('error', () => {}).resume();
  return new Promise((resolve) => call.once('status', resolve));
}
