import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo } from '../../../gen/google/rpc/error_details.js';
import { Status } from '../../../gen/google/rpc/status.js';

/** How one call ended, as a client of any language would see it. */
export interface RawAnswer {
  /** gRPC status code; 0 for OK. */
  readonly code: number;
  readonly message: string;
  /** Bytes of the answer; empty after an error. */
  readonly bytes: Buffer;
  /** Reason of google.rpc.ErrorInfo, if there is one. */
  readonly reason: string | undefined;
  /** Fields that google.rpc.BadRequest names. */
  readonly fields: readonly string[];
}

/** Calls a unary method with bytes as they are, and no credentials but those given. */
export async function rawCall(
  address: string,
  method: string,
  request: Uint8Array = Buffer.alloc(0),
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const same = (bytes: Buffer): Buffer => bytes;
  const options = { deadline: Date.now() + 20_000 };
  try {
    return await new Promise((resolve) => {
      const done = (err: ServiceError | null, bytes?: Buffer): void => resolve(answer(err, bytes));
      client.makeUnaryRequest(method, same, same, Buffer.from(request), metadata, options, done);
    });
  } finally {
    client.close();
  }
}

function answer(err: ServiceError | null, bytes: Buffer | undefined): RawAnswer {
  if (err === null)
    return { code: 0, message: '', bytes: bytes ?? Buffer.alloc(0), reason: undefined, fields: [] };
  const [status] = err.metadata.get('grpc-status-details-bin');
  const details = status instanceof Buffer ? Status.decode(status).details : [];
  const find = (type: string): Uint8Array | undefined =>
    details.find(({ typeUrl }) => typeUrl.endsWith(`/google.rpc.${type}`))?.value;
  const info = find('ErrorInfo');
  const bad = find('BadRequest');
  return {
    code: err.code,
    message: err.details,
    bytes: Buffer.alloc(0),
    reason: info === undefined ? undefined : ErrorInfo.decode(info).reason,
    fields: bad === undefined ? [] : BadRequest.decode(bad).fieldViolations.map(({ field }) => field),
  };
}
