import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type CallOptions as GrpcOptions,
  Metadata,
} from '@grpc/grpc-js';
import type { Backend, CallOptions } from './backend.js';

/** What of a copy of grpc-js is needed to dial with it. */
export interface Dialler {
  readonly Client: typeof Client;
  readonly Metadata: typeof Metadata;
}

/**
 * A gRPC server somewhere else, as a {@link Backend}. It connects with the first call.
 *
 * @param grpc another copy of grpc-js, which knows kinds of addresses that ours does not.
 */
export function dial(
  address: string,
  credentials: ChannelCredentials,
  options: ChannelOptions = {},
  grpc: Dialler = { Client, Metadata },
): Backend {
  const client = new grpc.Client(address, credentials, options);
  // Each copy of grpc-js takes only its own metadata.
  const own = (metadata: Metadata) =>
    grpc.Metadata === Metadata ? metadata : copyInto(new grpc.Metadata(), metadata);
  return {
    makeUnaryRequest: (path, request, metadata, call, done) =>
      client.makeUnaryRequest(path, asIs, asIs, request, own(metadata), grpcOptions(call), done),
    makeClientStreamRequest: (path, metadata, call, done) =>
      client.makeClientStreamRequest(path, asIs, asIs, own(metadata), grpcOptions(call), done),
    makeServerStreamRequest: (path, request, metadata, call) =>
      client.makeServerStreamRequest(path, asIs, asIs, request, own(metadata), grpcOptions(call)),
    makeBidiStreamRequest: (path, metadata, call) =>
      client.makeBidiStreamRequest(path, asIs, asIs, own(metadata), grpcOptions(call)),
    close: () => client.close(),
  };
}

function copyInto(copy: Metadata, metadata: Metadata): Metadata {
  for (const key of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(key)) copy.add(key, value);
  }
  return copy;
}

/** Messages travel as bytes; nothing is decoded on the gRPC leg. */
const asIs = (bytes: Buffer): Buffer => bytes;

function grpcOptions({ deadline }: CallOptions): GrpcOptions {
  return deadline === undefined ? {} : { deadline };
}
