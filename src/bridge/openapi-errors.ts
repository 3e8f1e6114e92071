import { reference } from './openapi-schema.js';
import type { Schema } from './openapi-types.js';

/** Name of the schema of errors. */
export const STATUS = 'google.rpc.Status';

/** The schema of errors. */
export function statusSchema(legacyErrorField: boolean): Schema {
  const properties = {
    code: { type: 'integer', format: 'int32', description: 'gRPC status code.' },
    message: { type: 'string', description: 'What went wrong, for a person.' },
    details: {
      type: 'array',
      items: { type: 'object', properties: { '@type': { type: 'string' } }, required: ['@type'] },
      description: 'What went wrong, for a program.',
    },
  };
  const legacy = { error: { type: 'string', description: 'Same as `message`.' } };
  return {
    type: 'object',
    description: 'Why a request failed.',
    properties: legacyErrorField ? { ...properties, ...legacy } : properties,
    required: ['code', 'message', 'details'],
  };
}

/** What requests are answered with when they fail. */
export const ERROR_RESPONSES: Schema = {
  Error: {
    description: 'Why the request failed.',
    content: { 'application/json': { schema: reference(STATUS) } },
  },
  StreamError: {
    description: 'Why the request failed: inside `error` when the call had begun.',
    content: {
      'application/json': {
        schema: {
          anyOf: [
            reference(STATUS),
            { type: 'object', properties: { error: reference(STATUS) }, required: ['error'] },
          ],
        },
      },
    },
  },
};
