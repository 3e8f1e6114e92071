import { ScalarType } from '@bufbuild/protobuf';

/** A JSON schema, or any other object of an OpenAPI document. */
export type Schema = { readonly [key: string]: unknown };

/** How a field's 64-bit integers are written: as strings inside messages, as numbers when the field stands alone. */
export type WideForm = 'string' | 'number';

/** The schema of a scalar in JSON. */
export function scalarSchema(type: ScalarType, wide: WideForm): Schema {
  const schema = SCALARS[type];
  return wide === 'number' && WIDE.has(type) ? { ...schema, type: 'integer' } : schema;
}

/** The schema of the key of a map: keys are strings in JSON. */
export function keySchema(type: ScalarType): Schema | undefined {
  if (type === ScalarType.STRING) return undefined;
  if (type === ScalarType.BOOL) return { enum: ['true', 'false'] };
  return { pattern: '^-?[0-9]+$' };
}

/** The schema of a message of google.protobuf that has a JSON form of its own. */
export function wellKnownSchema(typeName: string): Schema | undefined {
  return WELL_KNOWN[typeName];
}

const INT32 = { type: 'integer', format: 'int32' };
const UINT32 = { type: 'integer', minimum: 0, maximum: 4294967295 };
const INT64 = { type: 'string', format: 'int64' };
const UINT64 = { type: 'string', format: 'uint64' };
const DOUBLE = { type: 'number', format: 'double' };
const FLOAT = { type: 'number', format: 'float' };
const BYTES = { type: 'string', contentEncoding: 'base64' };

const WIDE: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.SINT64,
  ScalarType.SFIXED64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
]);

const SCALARS: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: DOUBLE,
  [ScalarType.FLOAT]: FLOAT,
  [ScalarType.INT32]: INT32,
  [ScalarType.SINT32]: INT32,
  [ScalarType.SFIXED32]: INT32,
  [ScalarType.UINT32]: UINT32,
  [ScalarType.FIXED32]: UINT32,
  [ScalarType.INT64]: INT64,
  [ScalarType.SINT64]: INT64,
  [ScalarType.SFIXED64]: INT64,
  [ScalarType.UINT64]: UINT64,
  [ScalarType.FIXED64]: UINT64,
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: BYTES,
};

const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Duration': { type: 'string', pattern: '^-?[0-9]+(\\.[0-9]{1,9})?s$' },
  'google.protobuf.FieldMask': { type: 'string', pattern: '^[A-Za-z0-9.]*(,[A-Za-z0-9.]+)*$' },
  'google.protobuf.Struct': { type: 'object' },
  'google.protobuf.ListValue': { type: 'array', items: {} },
  'google.protobuf.Value': {},
  'google.protobuf.Any': {
    type: 'object',
    properties: { '@type': { type: 'string' } },
    additionalProperties: true,
  },
  'google.protobuf.Empty': { type: 'object' },
  'google.protobuf.DoubleValue': DOUBLE,
  'google.protobuf.FloatValue': FLOAT,
  'google.protobuf.Int32Value': INT32,
  'google.protobuf.UInt32Value': UINT32,
  'google.protobuf.Int64Value': INT64,
  'google.protobuf.UInt64Value': UINT64,
  'google.protobuf.BoolValue': { type: 'boolean' },
  'google.protobuf.StringValue': { type: 'string' },
  'google.protobuf.BytesValue': BYTES,
};
