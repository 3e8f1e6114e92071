import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { commentOf } from './comments.js';

/** A JSON schema. */
export type Schema = { readonly [key: string]: unknown };

/** Collects the schemas of messages and enums as they are referred to. */
export class SchemaSet {
  private readonly schemas = new Map<string, Schema>();

  /** All schemas so far, by name. */
  get all(): Readonly<Record<string, Schema>> {
    return Object.fromEntries([...this.schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema of a message: in place for well-known types, else a reference. */
  message(desc: DescMessage): Schema {
    const known = WELL_KNOWN[desc.typeName];
    if (known !== undefined) return known;
    if (!this.schemas.has(desc.typeName)) {
      this.schemas.set(desc.typeName, {});
      this.schemas.set(desc.typeName, this.object(desc, desc.fields));
    }
    return reference(desc.typeName);
  }

  /** A message without some of its fields, as a body beside path parameters. */
  messageWithout(desc: DescMessage, names: readonly string[]): Schema {
    if (names.length === 0) return this.message(desc);
    return this.object(
      desc,
      desc.fields.filter((field) => !names.includes(field.name)),
    );
  }

  /** The schema of a field with its comment. */
  field(field: DescField): Schema {
    const schema = this.shape(field);
    const description = commentOf(field);
    return description === '' ? schema : { ...schema, description };
  }

  private object(desc: DescMessage, fields: readonly DescField[]): Schema {
    const properties = Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field)]));
    const description = commentOf(desc);
    return { type: 'object', ...(description === '' ? {} : { description }), properties };
  }

  private shape(field: DescField): Schema {
    if (field.fieldKind === 'list') return { type: 'array', items: this.item(field) };
    if (field.fieldKind === 'map') return { type: 'object', additionalProperties: this.item(field) };
    return this.item(field);
  }

  private item(field: DescField): Schema {
    if (field.message !== undefined) return this.message(field.message);
    if (field.enum !== undefined) return this.enum(field.enum);
    return field.scalar === undefined ? {} : SCALARS[field.scalar];
  }

  private enum(desc: DescEnum): Schema {
    if (desc.typeName === 'google.protobuf.NullValue') return { type: 'null' };
    const description = commentOf(desc);
    this.schemas.set(desc.typeName, {
      type: 'string',
      ...(description === '' ? {} : { description }),
      enum: desc.values.map((value) => value.name),
    });
    return reference(desc.typeName);
  }
}

const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

const INT32 = { type: 'integer', format: 'int32' };
const UINT32 = { type: 'integer', minimum: 0, maximum: 4294967295 };
const INT64 = { type: 'string', format: 'int64' };
const UINT64 = { type: 'string', format: 'uint64' };

const SCALARS: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: { type: 'number', format: 'double' },
  [ScalarType.FLOAT]: { type: 'number', format: 'float' },
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
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
};

const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  'google.protobuf.Timestamp': { type: ['string', 'null'], format: 'date-time' },
  'google.protobuf.Duration': { type: ['string', 'null'], pattern: '^-?[0-9]+(\\.[0-9]{1,9})?s$' },
  'google.protobuf.FieldMask': { type: ['string', 'null'] },
  'google.protobuf.Struct': { type: ['object', 'null'] },
  'google.protobuf.ListValue': { type: ['array', 'null'] },
  'google.protobuf.Value': {},
  'google.protobuf.Any': {
    type: 'object',
    properties: { '@type': { type: 'string' } },
    additionalProperties: true,
  },
  'google.protobuf.Empty': { type: 'object' },
  'google.protobuf.DoubleValue': { type: ['number', 'null'] },
  'google.protobuf.FloatValue': { type: ['number', 'null'] },
  'google.protobuf.Int32Value': { type: ['integer', 'null'] },
  'google.protobuf.UInt32Value': { type: ['integer', 'null'] },
  'google.protobuf.Int64Value': { type: ['string', 'null'] },
  'google.protobuf.UInt64Value': { type: ['string', 'null'] },
  'google.protobuf.BoolValue': { type: ['boolean', 'null'] },
  'google.protobuf.StringValue': { type: ['string', 'null'] },
  'google.protobuf.BytesValue': { type: ['string', 'null'], contentEncoding: 'base64' },
};
