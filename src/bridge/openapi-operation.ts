import type { DescField, Registry } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';
import { STATUS } from './openapi-errors.js';
import { behaviorsOf } from './openapi-fields.js';
import { pathParameter, queryParameters } from './openapi-parameters.js';
import type { PathParameter } from './openapi-paths.js';
import { describe, reference, type SchemaSet } from './openapi-schema.js';
import type { Schema } from './openapi-types.js';

/** What an operation is made of. */
export interface OperationParts {
  readonly binding: Binding;
  readonly operationId: string;
  readonly tag: string;
  /** The wildcards of the path, with the names that the document gives them. */
  readonly path: readonly (readonly [name: string, parameter: PathParameter])[];
  readonly registry: Registry;
  readonly schemas: SchemaSet;
}

/** Describes a binding as an operation. */
export function operation(parts: OperationParts): Schema {
  const { binding, operationId, tag, registry, schemas } = parts;
  const about = describe(binding.method);
  const summary = typeof about.description === 'string' ? { summary: firstSentence(about.description) } : {};
  const parameters = [
    ...parts.path.map(([name, parameter]) => pathParameter(binding, name, parameter, schemas)),
    ...queryParameters(binding, registry, schemas),
  ];
  return {
    operationId,
    tags: [tag],
    ...summary,
    ...about,
    ...(binding.method.parent.deprecated ? { deprecated: true } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...requestBody(binding, registry, schemas),
    responses: { 200: answer(binding, schemas), ...streamEnd(binding), default: failure(binding) },
  };
}

/** The first sentence of a comment, on one line. */
function firstSentence(text: string): string {
  const line = (text.split('\n\n')[0] ?? '').replace(/\s+/g, ' ');
  return /^.*?\.(?=\s|$)/.exec(line)?.[0].replace(/\.$/, '') ?? line;
}

function requestBody({ body, method, taken }: Binding, registry: Registry, schemas: SchemaSet): Schema {
  if (body.kind === 'none') return {};
  const isRun = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  const schema =
    body.kind === 'message' ? schemas.messageWithout(method.input, taken) : bodyField(body.field, schemas);
  const required =
    body.kind === 'message' &&
    method.input.fields.some(
      (field) => !taken.includes(field.name) && behaviorsOf(field, registry).has('required'),
    );
  const description = 'One such value after the other; white space between them is allowed.';
  return {
    requestBody: {
      ...(isRun ? { description } : {}),
      ...(required ? { required } : {}),
      content: { 'application/json': { schema } },
    },
  };
}

/** An enum that is a whole body is its number. */
function bodyField(field: DescField, schemas: SchemaSet): Schema {
  if (field.enum === undefined || field.enum.typeName === 'google.protobuf.NullValue')
    return schemas.alone(field);
  const item = {
    type: 'integer',
    description: field.enum.values.map((v) => `${v.number}: ${v.name}`).join(', '),
  };
  if (field.fieldKind === 'enum') return { ...item, ...describe(field) };
  if (field.fieldKind === 'list') return { type: 'array', items: item, ...describe(field) };
  return schemas.alone(field);
}

function answer(binding: Binding, schemas: SchemaSet): Schema {
  if (binding.httpMethod === 'HEAD') return { description: 'The call succeeded.' };
  const { method, responseBody } = binding;
  const streams = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
  if (responseBody === undefined && method.output.typeName === 'google.api.HttpBody') {
    const description = streams
      ? 'The bytes of the messages, each followed by a line feed, of the type that the first message names.'
      : 'The bytes of the message, of the type that it names.';
    return { description, content: { '*/*': {} } };
  }
  const schema =
    responseBody === undefined ? schemas.message(method.output) : schemas.aloneAnswer(responseBody);
  if (!streams) return { description: 'The answer.', content: { 'application/json': { schema } } };
  return { description: STREAM, content: streamContent(schema) };
}

function streamContent(result: Schema): Schema {
  const line = {
    description: 'One line.',
    oneOf: [
      { type: 'object', properties: { result }, required: ['result'], additionalProperties: false },
      {
        type: 'object',
        properties: { error: reference(STATUS) },
        required: ['error'],
        additionalProperties: false,
      },
    ],
  };
  return {
    'application/json': { schema: line },
    'text/event-stream': { schema: { type: 'string', description: EVENTS } },
  };
}

const STREAM = [
  'A stream: one JSON value a line, each with `result`. An error that comes later is the last line, with `error`.',
  'With `Accept: text/event-stream` it is a stream of server-sent events.',
].join(' ');

const EVENTS = [
  'Server-sent events. The `data` of each is what `result` holds in a line of `application/json`;',
  'an event `error` holds what `error` holds, and an event `end` says that the stream is over. Where events have an',
  '`id`, `Last-Event-ID` goes on behind it.',
].join(' ');

/** Browsers come back after every end of a stream of events, until they are told so. */
function streamEnd({ method, httpMethod }: Binding): Schema {
  if (method.methodKind !== 'server_streaming' || httpMethod === 'HEAD') return {};
  return { 204: { description: 'Nothing comes behind the end that `Last-Event-ID` names.' } };
}

/** A stream that fails before its first message answers as a line. */
function failure({ method, httpMethod }: Binding): Schema {
  if (httpMethod === 'HEAD') return { description: 'The call failed.' };
  const streams = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
  return { $ref: `#/components/responses/${streams ? 'StreamError' : 'Error'}` };
}
