import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON, loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { qualifyTypeNames } from './qualified-names.js';

const OPTIONS = { oneofs: true, defaults: true, enums: String, longs: Number } as const;

/** A service of gRPC's own, loaded at run time, with the descriptors of its file. */
export interface LoadedService {
  readonly definition: ServiceDefinition;
  /** A serialized FileDescriptorProto each. */
  readonly files: readonly Buffer[];
}

/** grpc.reflection.v1 or v1alpha, from the proto files of @grpc/reflection. */
export function loadReflection(version: 'v1' | 'v1alpha'): LoadedService {
  const root = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const file = join(root, 'build/proto/grpc/reflection', version, 'reflection.proto');
  return pick(loadSync(file, OPTIONS), `grpc.reflection.${version}.ServerReflection`);
}

/** grpc.health.v1, written down here: its proto comes with no package that we use. */
export function loadHealth(): LoadedService {
  return pick(fromJSON(HEALTH, OPTIONS), 'grpc.health.v1.Health');
}

const HEALTH: Parameters<typeof fromJSON>[0] = {
  nested: {
    'grpc.health.v1': {
      nested: {
        HealthCheckRequest: { fields: { service: { type: 'string', id: 1 } } },
        HealthCheckResponse: {
          fields: { status: { type: 'ServingStatus', id: 1 } },
          nested: {
            ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } },
          },
        },
        Health: {
          methods: {
            Check: { comment: '', requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' },
            Watch: {
              comment: '',
              requestType: 'HealthCheckRequest',
              responseType: 'HealthCheckResponse',
              responseStream: true,
            },
          },
        },
      },
    },
  },
};

function pick(loaded: PackageDefinition, name: string): LoadedService {
  const definition = loaded[name];
  if (definition === undefined || 'format' in definition) throw new Error(`${name} is not a loaded service`);
  const messages = Object.values(loaded).flatMap((part) => ('fileDescriptorProtos' in part ? [part] : []));
  const [first] = messages as { readonly fileDescriptorProtos: readonly Buffer[] }[];
  const files = (first?.fileDescriptorProtos ?? []).map(qualifyTypeNames);
  return { definition: definition as unknown as ServiceDefinition, files };
}
