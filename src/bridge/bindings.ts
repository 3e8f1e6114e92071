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
}

/** Where the body goes: nowhere, into the whole message, or into one field. */
export type BodyRule =
  | { readonly kind: 'none' }
  | { readonly kind: 'message' }
  | { readonly kind: 'field'; readonly field: DescField };

/** Reads a serialized FileDescriptorSet. */
export function readDescriptors(bytes: Uint8Array): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
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
    ...{ responseBody: undefined, taken: [] },
  };
  return { method: 'POST', template: parseTemplate(grpcPath), target };
}

function readRule(method: DescMethod, rule: ReflectMessage): Route<Binding>[] {
  const main = readBinding(method, rule);
  const additional = [...(listOf(rule, 'additional_bindings') as ReflectMessage[])];
  if (additional.some((inner) => listOf(inner, 'additional_bindings').length > 0)) {
    throw new Error(`${method}: additional_bindings may not be nested`);
  }
  return [...(main === undefined ? [] : [main]), ...additional.map((inner) => required(method, inner))];
}

function required(method: DescMethod, rule: ReflectMessage): Route<Binding> {
  const route = readBinding(method, rule);
  if (route === undefined) throw new Error(`${method}: an additional binding has no path`);
  return route;
}

function readBinding(method: DescMethod, rule: ReflectMessage): Route<Binding> | undefined {
  const pattern = rule.desc.oneofs[0] === undefined ? undefined : rule.oneofCase(rule.desc.oneofs[0]);
  if (pattern === undefined) return undefined;
  const custom = pattern.fieldKind === 'message' ? rule.get(pattern) : undefined;
  const httpMethod = custom === undefined ? pattern.name.toUpperCase() : textOf(custom, 'kind');
  const path = custom === undefined ? textOf(rule, pattern.name) : textOf(custom, 'path');
  const template = parseTemplate(path);
  const captured = template.captures.map((capture) => capture.field);
  checkCaptures(method, captured);
  const body = readBody(method, httpMethod, textOf(rule, 'body'));
  const responseField = textOf(rule, 'response_body');
  const target: Binding = {
    method,
    grpcPath: `/${method.parent.typeName}/${method.name}`,
    httpMethod,
    path,
    body,
    responseBody: responseField === '' ? undefined : resolvePath(method.output, responseField).at(-1),
    taken: body.kind === 'field' ? [...captured, body.field.name] : captured,
  };
  return { method: httpMethod, template, target };
}

function readBody(method: DescMethod, httpMethod: string, body: string): BodyRule {
  if (body === '') return { kind: 'none' };
  if (httpMethod === 'GET' || httpMethod === 'DELETE') {
    throw new Error(`${method}: a ${httpMethod} rule may not have a body`);
  }
  if (body === '*') return { kind: 'message' };
  const [field, ...rest] = resolvePath(method.input, body);
  if (field === undefined || rest.length > 0) throw new Error(`${method}: body "${body}" is not a field`);
  return { kind: 'field', field };
}

function checkCaptures(method: DescMethod, captured: readonly string[]): void {
  const streams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  if (streams && captured.length > 0)
    throw new Error(`${method}: cannot use path parameter in client streaming`);
  for (const path of captured) {
    const last = resolvePath(method.input, path).at(-1);
    const plainMessage = last?.message !== undefined && !last.message.typeName.startsWith('google.protobuf.');
    if (plainMessage || last?.fieldKind === 'map')
      throw new Error(`${method}: "${path}" cannot be a path parameter`);
  }
}

function checkUnique(routes: readonly Route<Binding>[]): void {
  const seen = new Set<string>();
  for (const { target } of routes) {
    const key = `${target.method.parent.typeName} ${target.httpMethod} ${target.path}`;
    if (seen.has(key)) throw new Error(`${key} is bound twice`);
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
