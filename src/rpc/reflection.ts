import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Server } from '@grpc/grpc-js';
import { packageRoot } from '../base/package-root.js';
import type { Caller } from '../security/caller.js';
import type { CallContext } from './call-context.js';
import { DescriptorPool } from './descriptor-pool.js';
import { bindLoaded, type Gate } from './handlers.js';
import { type LoadedService, loadReflection } from './loaded-definitions.js';

/** Options of {@link addReflection}. */
export interface ReflectionOptions {
  readonly gate: Gate<Caller>;
  /** Fully qualified names of the other services of the server. */
  readonly services: readonly string[];
  /** Loaded services whose descriptors are not in gen/. */
  readonly loaded: readonly LoadedService[];
}

/**
 * Serves reflection, v1 and v1alpha, so that grpcurl and the like work without proto files. Descriptors go out as
 * buf wrote them, with all options.
 */
export function addReflection(server: Server, options: ReflectionOptions): void {
  const versions = (['v1', 'v1alpha'] as const).map((version) => ({
    name: `grpc.reflection.${version}.ServerReflection`,
    loaded: loadReflection(version),
  }));
  const pool = new DescriptorPool();
  pool.addSet(readFileSync(join(packageRoot(), 'gen', 'descriptors.binpb')));
  const loaded = [...options.loaded, ...versions.map((version) => version.loaded)];
  for (const file of loaded.flatMap(({ files }) => files)) pool.add(file);
  const services = [...options.services, ...versions.map(({ name }) => name)].sort();
  const reflect = (request: ReflectionRequest) => answer(pool, services, request);
  const serverReflectionInfo = async function* (
    _ctx: CallContext<Caller>,
    requests: AsyncIterable<ReflectionRequest>,
  ) {
    for await (const request of requests) yield reflect(request);
  };
  for (const version of versions) {
    const handlers = { ServerReflectionInfo: serverReflectionInfo };
    server.addService(
      version.loaded.definition,
      bindLoaded(version.loaded.definition, handlers, options.gate),
    );
  }
}

/** A request as proto-loader reads it: `messageRequest` names the member of the oneof that is set. */
interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest?: string;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly fileContainingExtension?: { readonly containingType: string; readonly extensionNumber: number };
  readonly allExtensionNumbersOfType?: string;
}

const NOT_FOUND = 5;
const INVALID_ARGUMENT = 3;

function answer(pool: DescriptorPool, services: readonly string[], request: ReflectionRequest): object {
  const base = { validHost: request.host, originalRequest: request };
  switch (request.messageRequest) {
    case 'listServices':
      return { ...base, listServicesResponse: { service: services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return { ...base, ...files(pool.byName(request.fileByFilename ?? ''), request.fileByFilename) };
    case 'fileContainingSymbol':
      return {
        ...base,
        ...files(pool.bySymbol(request.fileContainingSymbol ?? ''), request.fileContainingSymbol),
      };
    case 'fileContainingExtension': {
      const { containingType = '', extensionNumber = 0 } = request.fileContainingExtension ?? {};
      const found = pool.byExtension(containingType, extensionNumber);
      return { ...base, ...files(found, `extension ${extensionNumber} of ${containingType}`) };
    }
    case 'allExtensionNumbersOfType': {
      const baseTypeName = request.allExtensionNumbersOfType ?? '';
      const extensionNumber = pool.extensionNumbers(baseTypeName);
      if (extensionNumber === undefined)
        return { ...base, ...problem(NOT_FOUND, `${baseTypeName} is not known`) };
      return { ...base, allExtensionNumbersResponse: { baseTypeName, extensionNumber } };
    }
    default:
      return { ...base, ...problem(INVALID_ARGUMENT, 'the request asks for nothing that is known') };
  }
}

function files(found: readonly Buffer[] | undefined, what = ''): object {
  if (found === undefined) return problem(NOT_FOUND, `${what} is not known`);
  return { fileDescriptorResponse: { fileDescriptorProto: found } };
}

function problem(errorCode: number, errorMessage: string): object {
  return { errorResponse: { errorCode, errorMessage } };
}
