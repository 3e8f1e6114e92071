import { readFileSync } from 'node:fs';
import type { DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { type Binding, readBindings, readDescriptors } from '../../../src/bridge/bindings.js';
import { buildRefDescriptors } from './ref-descriptors.js';

/** The types and routes of ref.proto. */
export interface RefRegistry {
  readonly registry: FileRegistry;
  /** A message of ref.v1 or google.protobuf. */
  message(name: string): DescMessage;
  /** The binding of a route such as `GET /v1/echo`. */
  binding(route: string): Binding;
}

/** Reads ref.proto, or other protos of the fixtures. */
export async function readRefRegistry(names?: readonly string[]): Promise<RefRegistry> {
  using descriptors = await buildRefDescriptors(names);
  const registry = readDescriptors(readFileSync(descriptors.file));
  const bindings = readBindings(registry).map(({ target }) => target);
  return {
    registry,
    message: (name) => found(registry.getMessage(name.includes('.') ? name : `ref.v1.${name}`), name),
    binding: (route) =>
      found(
        bindings.find(({ httpMethod, path }) => `${httpMethod} ${path}` === route),
        route,
      ),
  };
}

function found<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`ref.proto has no ${name}`);
  return value;
}
