import { join } from 'node:path';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ErrorInfo } from '../../../gen/google/rpc/error_details.js';
import { Status } from '../../../gen/google/rpc/status.js';

/** A running reference backend. */
export interface RefBackend {
  readonly address: string;
  close(): void;
}

/** What the handlers below use of a grpc-js call, of whatever kind. */
interface Call {
  readonly request: Record<string, never> & {
    code: number;
    message: string;
    detail: string;
    cmd: string;
    n: number;
    content_type: string;
  };
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  sendMetadata(metadata: Metadata): void;
  getDeadline(): Date | number;
  write(message: object): void;
  end(trailers?: Metadata): void;
  emit(event: 'error', error: object): void;
  on(event: string, listener: (value: { seq: number; text: string }) => void): void;
}
type Done = (error: object | null, answer?: unknown, trailers?: Metadata) => void;
type Handler = (call: Call, done: Done) => void;

/** Serves ref.v1.Ref and grpc.health.v1.Health as they were when the cases were recorded. */
export async function startRefBackend(protoDir: string): Promise<RefBackend> {
  const definition = loadSync(join(protoDir, 'ref.proto'), {
    includeDirs: [protoDir],
    keepCase: true,
    longs: String,
    enums: Number,
    defaults: true,
    oneofs: true,
  });
  const server = new Server();
  const methods = Object.entries(definition['ref.v1.Ref'] as ServiceDefinition);
  const service = Object.fromEntries(
    methods.map(([name, method]) => [name, ECHOED.has(name) ? raw(method) : method]),
  );
  server.addService(service, HANDLERS as unknown as Record<string, UntypedHandleCall>);
  server.addService({ Check: CHECK }, { Check: checkHealth as unknown as UntypedHandleCall });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (err, bound) =>
      err === null ? resolve(bound) : reject(err),
    );
  });
  return { address: `127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

/** Methods that only echo pass the bytes through, so that nothing is lost on the way. */
const ECHOED = new Set(['Echo', 'Update', 'GetName', 'Task', 'Nop']);
const same = (bytes: Buffer): Buffer => bytes;
type AnyMethod = ServiceDefinition[string];
const raw = (method: AnyMethod): AnyMethod => ({
  ...method,
  requestDeserialize: same,
  responseSerialize: same,
});
const CHECK = {
  path: '/grpc.health.v1.Health/Check',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

const echo: Handler = (call, done) => done(null, call.request);

const HANDLERS: Record<string, Handler> = {
  ...Object.fromEntries([...ECHOED].map((name) => [name, echo])),
  Overlap1: (call, done) => done(null, { ...call.request, extra: 'overlap1' }),
  Overlap2: (call, done) => done(null, { ...call.request, extra: 'overlap2' }),
  Overlap3: (call, done) => done(null, { ...call.request, name: 'overlap3' }),
  Fail(call, done) {
    call.sendMetadata(metadataOf(['x-hdr', 'h1']));
    const { code, message, detail } = call.request;
    const trailers = metadataOf(['x-trl', 't1']);
    if (code === 0) return done(null, {}, trailers);
    if (detail) trailers.set('grpc-status-details-bin', statusBytes(code, message, detail, { k: 'v' }, true));
    return done({ code, details: message, metadata: trailers });
  },
  List: (_call, done) =>
    done(null, {
      items: [{ name: 'a', amount: 1 }, { name: 'b' }],
      next: 'n<>&\u2028x',
      c: 1,
      total: '9007199254740993',
      raw: Buffer.from([0xff, 0xfe]),
      m: { z: '1', a: '2' },
      cs: [1, 2, 9],
      dd: 1e21,
    }),
  SStream(call) {
    const { cmd, n } = call.request;
    if (cmd === 'failfirst') return call.emit('error', { code: 5, details: 'nope' });
    if (cmd === 'hdr') call.sendMetadata(metadataOf(['x-hdr', 'h1']));
    for (let i = 0; i < n && !call.cancelled; i++) call.write({ seq: i, text: `t${i}` });
    if (cmd === 'faillast') {
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', statusBytes(13, 'boom', 'R', {}, false));
      return call.emit('error', { code: 13, details: 'boom', metadata });
    }
    if (cmd === 'hang') return undefined;
    return call.end(cmd === 'hdr' ? metadataOf(['x-trl', 't1']) : undefined);
  },
  SBody(call) {
    for (let i = 0; i < call.request.n; i++)
      call.write({ content_type: 'text/plain', data: Buffer.from(`part${i}`) });
    call.end();
  },
  Body: (call, done) =>
    done(
      null,
      call.request.content_type === ''
        ? { content_type: 'text/html', data: Buffer.from('<b>') }
        : call.request,
    ),
  CStream(call, done) {
    const texts: string[] = [];
    call.on('data', (chunk) => texts.push(chunk.text));
    call.on('end', () => done(null, { count: texts.length, texts }));
  },
  Bidi(call) {
    call.on('data', (chunk) => call.write({ ...chunk, seq: chunk.seq * 10 }));
    call.on('end', () => call.end());
  },
  Meta(call, done) {
    const md: string[] = [];
    for (const key of Object.keys(call.metadata.getMap())) {
      for (const value of call.metadata.get(key)) md.push(`${key}=${goQuote(value)}`);
    }
    const deadline = Number(call.getDeadline());
    if (Number.isFinite(deadline)) md.push(`~deadline=${Math.round((deadline - Date.now()) / 1000)}s`);
    call.sendMetadata(
      metadataOf(['x-hdr', 'h1'], ['x-hdr', 'h2'], ['x-b-bin', Buffer.from([1, 2])], ['etag', 'abc']),
    );
    done(null, { md: md.sort() }, metadataOf(['x-trl', 't1']));
  },
  Slow(call, done) {
    const timer = setTimeout(() => done(null, {}), call.request.n);
    call.on('cancelled', () => clearTimeout(timer));
  },
};

function checkHealth(call: { request: Buffer }, done: Done): void {
  const name = call.request.length > 2 ? call.request.subarray(2).toString() : '';
  if (name === '') done(null, Buffer.from([8, 1]));
  else if (name === 'down') done(null, Buffer.from([8, 2]));
  else done({ code: 5, details: 'unknown service' });
}

function metadataOf(...pairs: [string, string | Buffer][]): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of pairs) metadata.add(key, value);
  return metadata;
}

function statusBytes(
  code: number,
  message: string,
  reason: string,
  metadata: Record<string, string>,
  retry: boolean,
): Buffer {
  const prefix = 'type.googleapis.com/google.rpc.';
  const info = ErrorInfo.encode({ reason, domain: retry ? 'ref' : '', metadata }).finish();
  const details = [{ typeUrl: `${prefix}ErrorInfo`, value: Buffer.from(info) }];
  if (retry) details.push({ typeUrl: `${prefix}RetryInfo`, value: Buffer.alloc(0) });
  return Buffer.from(Status.encode({ code, message, details }).finish());
}

function goQuote(value: string | Buffer): string {
  if (!Buffer.isBuffer(value)) return JSON.stringify(value);
  const hex = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`;
  return `"${[...value].map((byte) => (byte < 32 || byte > 126 ? hex(byte) : String.fromCharCode(byte))).join('')}"`;
}
