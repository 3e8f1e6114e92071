import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  type CallOptions as GrpcOptions,
} from '@grpc/grpc-js';
import type { Backend, CallOptions } from './backend.js';

/** A gRPC server somewhere else, as a {@link Backend}. It connects with the first call. */
export function dial(
  address: string,
  credentials: ChannelCredentials,
  options: ChannelOptions = {},
): Backend {
  const client = new Client(address, credentials, options);
  return {
    makeUnaryRequest: (path, request, metadata, call, done) =>
      client.makeUnaryRequest(path, asIs, asIs, request, metadata, grpcOptions(call), done),
    makeClientStreamRequest: (path, metadata, call, done) =>
      client.makeClientStreamRequest(path, asIs, asIs, metadata, grpcOptions(call), done),
    makeServerStreamRequest: (path, request, metadata, call) =>
      client.makeServerStreamRequest(path, asIs, asIs, request, metadata, grpcOptions(call)),
    makeBidiStreamRequest: (path, metadata, call) =>
      client.makeBidiStreamRequest(path, asIs, asIs, metadata, grpcOptions(call)),
    close: () => client.close(),
  };
}

/** Messages travel as bytes; nothing is decoded on the gRPC leg. */
const asIs = (bytes: Buffer): Buffer => bytes;

function grpcOptions({ deadline }: CallOptions): GrpcOptions {
  return deadline === undefined ? {} : { deadline };
}
