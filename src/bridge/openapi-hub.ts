import type { Registry } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';
import { OPEN_PATHS } from './guard.js';
import { createOpenApi, type DescribedRoute } from './openapi.js';
import type { Schema } from './openapi-types.js';

/** The OpenAPI document of a hub. */
export function hubOpenApi(bindings: readonly Binding[], registry: Registry, version: string): Schema {
  return createOpenApi(bindings, registry, {
    title: 'vm-agent-system',
    version,
    description: ABOUT,
    security: { schemes: { bearer: BEARER }, requirements: [{}, { bearer: [] }] },
    openPaths: OPEN_PATHS,
    legacyErrorField: true,
    beside: ROUTES_BESIDE,
  });
}

const ABOUT = [
  'What operators do with agents, tasks and machines.',
  'Schemas show the canonical form of JSON. Requests may also use the names of fields as in the protos, numbers in ' +
    'place of the names of enums, and numbers for 64-bit integers; `null` is as good as leaving a field out. Answers ' +
    'hold the number of an enum value that has no name here, and `"NaN"`, `"Infinity"` or `"-Infinity"` for numbers ' +
    'that JSON does not have.',
  'Streaming routes take WebSockets on the same paths, too.',
].join('\n\n');

const BEARER: Schema = {
  type: 'http',
  scheme: 'bearer',
  description:
    "The content of the file `token` in the hub's home. The user who runs the hub needs none on the same machine, " +
    'with `Host: localhost`.',
};

const error: Schema = { $ref: '#/components/responses/Error' };
const text = { type: 'string' };

function json(description: string, schema: Schema): Schema {
  return { description, content: { 'application/json': { schema } } };
}

function object(properties: Readonly<Record<string, Schema>>): Schema {
  return { type: 'object', properties, required: Object.keys(properties) };
}

function route(path: string, operation: Schema): DescribedRoute {
  return { method: 'get', path, operation: { tags: ['System'], ...operation } };
}

/** The hub's routes that no proto has. */
const ROUTES_BESIDE: readonly DescribedRoute[] = [
  route('/tasks/{task}/output', {
    operationId: 'getTaskOutput',
    summary: 'Answers what the current attempt of a task wrote, as bytes',
    description: 'Bytes that were lost are left out. One range may be asked for once the task has ended.',
    parameters: [
      { name: 'task', in: 'path', required: true, description: 'Task id.', schema: text },
      { name: 'stream', in: 'query', schema: { enum: ['stdout', 'stderr'], default: 'stdout' } },
      { name: 'Range', in: 'header', description: 'Such as `bytes=0-1023`.', schema: text },
    ],
    responses: {
      200: { description: 'All bytes so far.', content: { 'application/octet-stream': {} } },
      206: { description: 'The bytes of the range.', content: { 'application/octet-stream': {} } },
      416: { description: 'The range begins behind the end.' },
      default: error,
    },
  }),
  route('/healthz', {
    operationId: 'getHealthz',
    summary: 'Answers whether the hub serves, as grpc.health.v1 does',
    parameters: [{ name: 'service', in: 'query', description: 'Default: all.', schema: text }],
    responses: { 200: json('It serves.', object({ status: { const: 'SERVING' } })), default: error },
  }),
  route('/readyz', {
    operationId: 'getReadyz',
    summary: 'Answers whether the hub takes work',
    responses: { 200: json('It does.', object({ status: { const: 'ready' } })), default: error },
  }),
  route('/version', {
    operationId: 'getVersion',
    summary: 'Answers the version of the hub',
    responses: { 200: json('The version.', object({ name: text, version: text })), default: error },
  }),
  route('/metrics', {
    operationId: 'getMetrics',
    summary: 'Answers metrics for Prometheus',
    responses: {
      200: { description: 'The metrics.', content: { 'text/plain': { schema: text } } },
      default: error,
    },
  }),
  route('/openapi.json', {
    operationId: 'getOpenApi',
    summary: 'Answers this document',
    responses: { 200: json('The document.', { type: 'object' }), default: error },
  }),
];
