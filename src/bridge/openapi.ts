import type { DescField } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';
import { commentOf } from './comments.js';
import { type Schema, SchemaSet } from './openapi-schema.js';

/** What the document says of the API as a whole. */
export interface OpenApiInfo {
  readonly title: string;
  readonly version: string;
}

/** Describes bindings as an OpenAPI 3.1 document, with the comments of the protos. */
export function createOpenApi(bindings: readonly Binding[], info: OpenApiInfo): Schema {
  const schemas = new SchemaSet();
  const paths: Record<string, Record<string, Schema>> = {};
  const numbers = new Map<string, number>();
  for (const binding of bindings) {
    const name = `${binding.method.parent.name}_${binding.method.name}`;
    const number = (numbers.get(name) ?? 0) + 1;
    numbers.set(name, number);
    const id = number === 1 ? name : `${name}${number}`;
    // Variables with a pattern have no counterpart; their names are kept.
    const path = binding.path.replace(/\{([^}=]+)=[^}]*\}/g, '{$1}');
    paths[path] = { ...paths[path], [binding.httpMethod.toLowerCase()]: operation(binding, id, schemas) };
  }
  return { openapi: '3.1.0', info, paths, components: { schemas: { ...schemas.all, Error: ERROR } } };
}

function operation(binding: Binding, operationId: string, schemas: SchemaSet): Schema {
  const { method } = binding;
  const description = commentOf(method);
  return {
    operationId,
    tags: [method.parent.name],
    ...(description === '' ? {} : { summary: firstSentence(description), description }),
    parameters: [...pathParameters(binding, schemas), ...queryParameters(binding, schemas)],
    ...requestBody(binding, schemas),
    responses: {
      200: { description: 'The answer.', content: responseContent(binding, schemas) },
      default: {
        description: 'Why the request failed.',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function pathParameters({ path, method }: Binding, schemas: SchemaSet): Schema[] {
  return [...path.matchAll(/\{([^}=]+)/g)].map(([, name = '']) => {
    const field = method.input.fields.find((candidate) => candidate.name === name);
    return { name, in: 'path', required: true, ...parameterSchema(field, schemas) };
  });
}

function queryParameters({ body, method, taken }: Binding, schemas: SchemaSet): Schema[] {
  if (body.kind === 'message') return [];
  return method.input.fields
    .filter((field) => !taken.includes(field.name) && field.fieldKind !== 'map')
    .map((field) => ({ name: field.jsonName, in: 'query', ...parameterSchema(field, schemas) }));
}

function parameterSchema(field: DescField | undefined, schemas: SchemaSet): Schema {
  if (field === undefined) return { schema: { type: 'string' } };
  const { description, ...schema } = schemas.field(field);
  return description === undefined ? { schema } : { description, schema };
}

function requestBody({ body, method, taken }: Binding, schemas: SchemaSet): Schema {
  if (body.kind === 'none') return {};
  const schema =
    body.kind === 'message' ? schemas.messageWithout(method.input, taken) : schemas.field(body.field);
  return { requestBody: { content: { 'application/json': { schema } } } };
}

function responseContent({ method, responseBody }: Binding, schemas: SchemaSet): Schema {
  const schema = responseBody === undefined ? schemas.message(method.output) : schemas.field(responseBody);
  if (method.methodKind === 'unary' || method.methodKind === 'client_streaming') {
    return { 'application/json': { schema } };
  }
  const line = {
    type: 'object',
    properties: { result: schema, error: { $ref: '#/components/schemas/Error' } },
  };
  return { 'application/json': { schema: line }, 'text/event-stream': { schema } };
}

function firstSentence(text: string): string {
  return /^.*?\.(?=\s|$)/s.exec(text)?.[0].replace(/\.$/, '') ?? text;
}

const ERROR: Schema = {
  type: 'object',
  description: 'google.rpc.Status.',
  properties: {
    code: { type: 'integer', description: 'gRPC status code.' },
    message: { type: 'string', description: 'What went wrong, for a person.' },
    details: { type: 'array', items: { type: 'object', properties: { '@type': { type: 'string' } } } },
    error: { type: 'string', description: 'Same as message.' },
  },
};
