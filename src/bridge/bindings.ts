import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  getOption,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { messageOf } from '../base/errno.js';
import { resolvePath } from './path-params.js';
import type { Route } from './router.js';
import { parseTemplate } from './template.js';

/** One way to reach a method over HTTP: a `google.api.http` rule, checked. */
export interface Binding {
  readonly method: DescMethod;
  /** Path of the method on gRPC, such as `/vmagent.v1.Hub/CreateTask`. */
  readonly grpcPath: string;
  readonly httpMethod: string;
  /** The path template as written. */
  readonly path: string;
  readonly body: BodyRule;
  /** The field that is the answer; the whole message when absent. */
  readonly responseBody: DescField | undefined;
  /** Field paths, in proto names, that the query may not set. */
  readonly taken: readonly string[];
  /** Whether there is any field that the query may set; else it is not looked at. */
  readonly takesQuery: boolean;
}

/** Where the body goes: nowhere, into the whole message, or into one field. */
export type BodyRule =
  | { readonly kind: 'none' }
  | { readonly kind: 'message' }
  | { readonly kind: 'field'; readonly field: DescField };

/** Reads a serialized FileDescriptorSet. */
export function readDescriptors(bytes: Uint8Array): FileRegistry {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
  // To Go every enum is open: numbers that it does not name stay what they are.
  for (const type of registry) if (type.kind === 'enum') Object.assign(type, { open: true });
  return registry;
}

/**
 * All bindings of a set of descriptors in the order of their declaration.
 *
 * @throws Error for a rule that grpc-gateway's generator would refuse.
 */
export function readBindings(registry: FileRegistry, unboundMethods = false): Route<Binding>[] {
  const http = registry.getExtension('google.api.http');
  if (http === undefined) return [];
  const routes: Route<Binding>[] = [];
  for (const file of registry.files) {
    for (const method of file.services.flatMap((service) => service.methods)) {
      const rule = getOption(method, http);
      if (isMessage(rule) && http.message !== undefined && method.proto.options !== undefined) {
        routes.push(...readRule(method, reflect(http.message, rule, false)));
      } else if (unboundMethods) routes.push(unboundRoute(method));
    }
  }
  checkUnique(routes);
  return routes;
}

/** The route of a method without a rule, as gRPC itself would call it. */
function unboundRoute(method: DescMethod): Route<Binding> {
  const grpcPath = `/${method.parent.typeName}/${method.name}`;
  const target: Binding = {
    ...{ method, grpcPath, httpMethod: 'POST', path: grpcPath, body: { kind: 'message' } as const },
    ...{ responseBody: undefined, taken: [], takesQuery: false },
  };
  return { method: 'POST', template: parseTemplate(grpcPath), target };
}

function readRule(method: DescMethod, rule: ReflectMessage): Route<Binding>[] {
  const main = readBinding(method, rule);
  const additional = [...(listOf(rule, 'additional_bindings') as ReflectMessage[])];
  if (additional.some((inner) => listOf(inner, 'additional_bindings').length > 0)) {
    throw new Error(`${method}: additional_bindings may not hold additional_bindings`);
  }
  return [...(main === undefined ? [] : [main]), ...additional.map((inner) => required(method, inner))];
}

function required(method: DescMethod, rule: ReflectMessage): Route<Binding> {
  const route = readBinding(method, rule);
  if (route === undefined) throw new Error(`${method}: an additional binding has no path`);
  return route;
}

/** The pattern of a rule; undefined when it has none. */
function readPattern(rule: ReflectMessage): { kind: string; httpMethod: string; path: string } | undefined {
  const pattern = rule.desc.oneofs[0] === undefined ? undefined : rule.oneofCase(rule.desc.oneofs[0]);
  if (pattern === undefined) return undefined;
  const { name: kind } = pattern;
  if (pattern.fieldKind === 'message') {
    const custom = rule.get(pattern);
    return { kind, httpMethod: textOf(custom, 'kind'), path: textOf(custom, 'path') };
  }
  const path = textOf(rule, kind);
  return path === '' ? undefined : { kind, httpMethod: kind.toUpperCase(), path };
}

function readBinding(method: DescMethod, rule: ReflectMessage): Route<Binding> | undefined {
  const pattern = readPattern(rule);
  if (pattern === undefined) return undefined;
  const { kind, httpMethod, path } = pattern;
  try {
    const template = parseTemplate(path);
    const captured = template.captures.map((capture) => capture.field);
    checkCaptures(method, captured);
    const body = readBody(method, kind, textOf(rule, 'body'));
    const taken = body.kind === 'field' ? [...captured, body.field.name] : captured;
    const target: Binding = {
      ...{ method, grpcPath: `/${method.parent.typeName}/${method.name}`, httpMethod, path, body, taken },
      responseBody: readResponseBody(method, textOf(rule, 'response_body')),
      takesQuery: body.kind !== 'message' && method.input.fields.some(({ name }) => !taken.includes(name)),
    };
    return { method: httpMethod, template, target };
  } catch (err) {
    throw new Error(`${method}, ${httpMethod} ${path}: ${messageOf(err)}`, { cause: err });
  }
}

function readBody(method: DescMethod, kind: string, body: string): BodyRule {
  if (body === '') return { kind: 'none' };
  if (kind === 'get' || kind === 'delete') throw new Error(`a ${kind} rule may not have a body`);
  if (body === '*') return { kind: 'message' };
  const [field, ...rest] = resolvePath(method.input, body);
  if (field === undefined || rest.length > 0) {
    throw new Error(`the body "${body}" must be "*" or a field of the request itself`);
  }
  return { kind: 'field', field };
}

function readResponseBody(method: DescMethod, path: string): DescField | undefined {
  if (path === '' || path === '*') return undefined;
  const [field, ...rest] = resolvePath(method.output, path);
  if (rest.length > 0) throw new Error(`the response_body "${path}" must be a field of the answer itself`);
  return field;
}

/** Messages that a path parameter may be. */
const IN_PATHS =
  /^google\.protobuf\.(Timestamp|Duration|(Double|Float|U?Int(64|32)|Bool|String|Bytes)Value)$/;

function checkCaptures(method: DescMethod, captured: readonly string[]): void {
  const streams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  if (streams && captured.length > 0) {
    throw new Error('a method whose requests are a stream cannot have path parameters');
  }
  for (const path of captured) {
    const last = resolvePath(method.input, path).at(-1);
    if (last?.fieldKind === 'map' || (last?.message !== undefined && !IN_PATHS.test(last.message.typeName))) {
      throw new Error(
        `"${path}" is a message, which cannot be a path parameter; use a scalar such as string`,
      );
    }
  }
}

function checkUnique(routes: readonly Route<Binding>[]): void {
  const seen = new Set<string>();
  for (const { target } of routes) {
    const key = `${target.httpMethod} ${target.path} of ${target.method.parent.typeName}`;
    if (seen.has(key)) throw new Error(`${target.method}, ${key}: the same method and path are bound twice`);
    seen.add(key);
  }
}

function textOf(message: ReflectMessage, name: string): string {
  return String(message.get(fieldOf(message.desc, name)));
}

function listOf(message: ReflectMessage, name: string): unknown[] {
  const field = fieldOf(message.desc, name);
  return field.fieldKind === 'list' ? [...message.get(field)] : [];
}

function fieldOf(desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${desc.typeName} has no field ${name}: the protos are too old`);
  return field;
}

function isMessage(value: unknown): value is { $typeName: string } {
  return typeof value === 'object' && value !== null && '$typeName' in value;
}
