import { Metadata, type ServiceError } from '@grpc/grpc-js';
import type { Backend } from './backend.js';
import type { ExtraRequest, ExtraRoute } from './extra-route.js';
import { GatewayError } from './gateway-error.js';
import { parseQuery } from './query.js';
import { respond } from './respond.js';

const CHECK_PATH = '/grpc.health.v1.Health/Check';
const CHECK_TIMEOUT_MS = 5_000;
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** `GET /healthz?service=NAME`, as grpc-gateway's health endpoint: grpc.health.v1 over HTTP. */
export const healthzRoute: ExtraRoute = {
  method: 'GET',
  path: '/healthz',
  handle: async (request) => {
    const service = parameter(request.query, 'service');
    await requireServing(request.backend, service);
    answerText(request, '{"status":"SERVING"}\n');
  },
};

/** The first value of a parameter. Parameters that are broken do not count. */
function parameter(query: string, name: string): string {
  const values = new Map<string, string[]>();
  try {
    parseQuery(query, values);
  } catch (err) {
    if (!(err instanceof GatewayError)) throw err;
  }
  return values.get(name)?.[0] ?? '';
}

/** `GET /readyz`: 200 when the hub takes work, 503 while it starts, stops or cannot be reached. */
export const readyzRoute: ExtraRoute = {
  method: 'GET',
  path: '/readyz',
  handle: async (request) => {
    try {
      await requireServing(request.backend, '');
    } catch (err) {
      throw new GatewayError(14, `not ready: ${err instanceof Error ? err.message : 'unknown'}`);
    }
    answerText(request, '{"status":"ready"}\n');
  },
};

function answerText({ req, res, style }: ExtraRequest, body: string): void {
  respond(req, res, style, { status: 200, contentType: 'application/json', body });
}

async function requireServing(backend: Backend, service: string): Promise<void> {
  const status = STATUS_NAMES[await checkHealth(backend, service)] ?? 'UNKNOWN';
  if (status === 'SERVING') return;
  throw new GatewayError(status === 'SERVICE_UNKNOWN' ? 5 : 14, `status:${status}`);
}

/** Calls grpc.health.v1.Health/Check, whose two messages have one field each. */
function checkHealth(backend: Backend, service: string): Promise<number> {
  const name = Buffer.from(service);
  if (name.length > 127) return Promise.reject(new GatewayError(5, 'unknown service'));
  const request = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const options = { deadline: new Date(Date.now() + CHECK_TIMEOUT_MS) };
  return new Promise((resolve, reject) => {
    const done = (err: ServiceError | null, answer?: Buffer) => {
      if (err !== null) reject(GatewayError.fromCall(err, undefined));
      else resolve(answer?.[0] === 0x08 ? (answer[1] ?? 0) : 0);
    };
    backend.makeUnaryRequest(CHECK_PATH, request, new Metadata(), options, done);
  });
}
