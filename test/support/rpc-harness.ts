import { Client, credentials, Metadata, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { silentLogger } from '../../src/base/logger.js';
import type { HubApi } from '../../src/hub/api.js';
import { createOperatorServer, type OperatorServerOptions } from '../../src/rpc/operator-server.js';
import { CallerRule } from '../../src/security/caller-rule.js';
import type { VmApi } from '../../src/vm/api.js';
import { fakeHub, fakeVms } from './fake-hub.js';

/** Admin token of the servers in tests. */
export const ADMIN_TOKEN = 'a'.repeat(64);

/** A server under test with a client. */
export class RpcHarness implements AsyncDisposable {
  readonly server;
  client: Client = new Client('127.0.0.1:1', credentials.createInsecure());
  port = 0;

  constructor(hub: HubApi = fakeHub(), vm: VmApi = fakeVms(), more: Partial<OperatorServerOptions> = {}) {
    const rule = new CallerRule({ adminToken: ADMIN_TOKEN, ownUid: process.getuid?.() });
    this.server = createOperatorServer({ hub, vm, rule, log: silentLogger, ...more });
  }

  async start(): Promise<this> {
    this.port = await this.server.listen('127.0.0.1:0');
    this.client.close();
    this.client = createClient(`127.0.0.1:${this.port}`);
    return this;
  }

  /** Calls a unary method. */
  call<Req, Res>(method: MethodDefinition<Req, Res>, request: Req, options: CallOptions = {}): Promise<Res> {
    return unaryCall(this.client, method, { request, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.server.close({ graceMs: 500 });
  }
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

/** Metadata of an admin. */
export const ADMIN = { authorization: `Bearer ${ADMIN_TOKEN}` };

/** Metadata from an object. */
export function metadataOf(values: Readonly<Record<string, string>> = {}): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(values)) metadata.set(key, value);
  return metadata;
}

/** A client with a channel of its own. */
export function createClient(address: string): Client {
  return new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
}

/** Calls a unary method of a client. */
export function unaryCall<Req, Res>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  call: { readonly request: Req } & CallOptions,
): Promise<Res> {
  const { path, requestSerialize, responseDeserialize } = method;
  const options = { deadline: Date.now() + (call.deadlineMs ?? 10_000) };
  return new Promise((resolve, reject) => {
    const done = (err: ServiceError | null, value?: Res) =>
      err !== null || value === undefined ? reject(err) : resolve(value);
    const metadata = metadataOf(call.metadata);
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      call.request,
      metadata,
      options,
      done,
    );
  });
}

/** The error that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<ServiceError> {
  try {
    await promise;
  } catch (err) {
    return err as ServiceError;
  }
  throw new Error('the call did not fail');
}
