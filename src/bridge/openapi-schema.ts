import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { type Commented, commentOf } from './comments.js';
import { absenceOf, behaviorsOf, oneofSchema } from './openapi-fields.js';
import { keySchema, type Schema, scalarSchema, type WideForm, wellKnownSchema } from './openapi-types.js';

/** Options of a {@link SchemaSet}. */
export interface SchemaSetOptions {
  readonly registry: Registry;
  /** Whether a message only ever stands in answers, which hold all their fields. */
  readonly isAnswer: (desc: DescMessage) => boolean;
}

/** Collects the schemas of messages and enums as they are referred to. */
export class SchemaSet {
  private readonly schemas = new Map<string, Schema>();

  constructor(private readonly options: SchemaSetOptions) {}

  /** All schemas so far, by name. */
  get all(): Readonly<Record<string, Schema>> {
    return Object.fromEntries([...this.schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema of a message: in place for well-known types, else a reference. */
  message(desc: DescMessage): Schema {
    const known = wellKnownSchema(desc.typeName);
    if (known !== undefined) return known;
    if (!this.schemas.has(desc.typeName)) {
      this.schemas.set(desc.typeName, {});
      this.schemas.set(desc.typeName, this.object(desc, desc.fields));
    }
    return reference(desc.typeName);
  }

  /** A message without some of its fields, as a body beside path parameters. */
  messageWithout(desc: DescMessage, names: readonly string[]): Schema {
    const fields = desc.fields.filter((field) => !names.includes(field.name));
    return fields.length === desc.fields.length ? this.message(desc) : this.object(desc, fields);
  }

  /** A field that is a whole body: its wide integers are numbers. */
  alone(field: DescField): Schema {
    return { ...this.shape(field, 'number'), ...describe(field) };
  }

  /** A field that is a whole answer. What is not set is null, unless it is a message; no bytes are an empty array. */
  aloneAnswer(field: DescField): Schema {
    const schema = this.shape(field, 'number');
    if (field.fieldKind !== 'scalar' && field.fieldKind !== 'enum') return { ...schema, ...describe(field) };
    if (field.scalar === ScalarType.BYTES)
      return { anyOf: [schema, { type: 'array', maxItems: 0 }], ...describe(field) };
    const mayBeNull = field.oneof !== undefined || field.presence !== FeatureSet_FieldPresence.IMPLICIT;
    return { ...(mayBeNull ? orNull(schema) : schema), ...describe(field) };
  }

  /** The item of a field: the field itself, or what its list or map holds. */
  item(field: DescField, wide: WideForm = 'string'): Schema {
    if (field.message !== undefined) return this.message(field.message);
    if (field.enum !== undefined) return this.enum(field.enum);
    return field.scalar === undefined ? {} : scalarSchema(field.scalar, wide);
  }

  private member(field: DescField, isAnswer: boolean): Schema {
    const schema = this.shape(field, 'string');
    const behaviors = behaviorsOf(field, this.options.registry);
    return {
      ...(absenceOf(field) === 'null' ? orNull(schema) : schema),
      ...describe(field),
      ...(behaviors.has('output-only') && !isAnswer ? { readOnly: true } : {}),
      ...(behaviors.has('input-only') ? { writeOnly: true } : {}),
    };
  }

  private object(desc: DescMessage, fields: readonly DescField[]): Schema {
    const isAnswer = this.options.isAnswer(desc);
    const required = fields
      .filter((field) => this.isRequired(field, isAnswer))
      .map((field) => field.jsonName);
    return {
      type: 'object',
      ...describe(desc),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.member(field, isAnswer)])),
      ...(required.length === 0 ? {} : { required }),
      ...oneofSchema(desc, fields),
    };
  }

  private isRequired(field: DescField, isAnswer: boolean): boolean {
    if (isAnswer) return absenceOf(field) !== 'left out';
    return field.oneof === undefined && behaviorsOf(field, this.options.registry).has('required');
  }

  private shape(field: DescField, wide: WideForm): Schema {
    if (field.fieldKind === 'list') return { type: 'array', items: this.item(field, wide) };
    if (field.fieldKind !== 'map') return this.item(field, wide);
    const keys = keySchema(field.mapKey);
    const names = keys === undefined ? {} : { propertyNames: keys };
    return { type: 'object', ...names, additionalProperties: this.item(field, wide) };
  }

  private enum(desc: DescEnum): Schema {
    if (desc.typeName === 'google.protobuf.NullValue') return { type: 'null' };
    const values = desc.values.map((value) => [value.name, commentOf(value)] as const);
    const lines = values
      .filter(([, comment]) => comment !== '')
      .map(([name, comment]) => `- ${name}: ${comment}`);
    const description = [commentOf(desc), lines.join('\n')].filter((text) => text !== '').join('\n\n');
    this.schemas.set(desc.typeName, {
      type: 'string',
      ...(description === '' ? {} : { description }),
      ...(desc.deprecated ? { deprecated: true } : {}),
      enum: [...new Set(values.map(([name]) => name))],
    });
    return reference(desc.typeName);
  }
}

/** What a declaration's comment and options say, as members of a schema, parameter or operation. */
export function describe(desc: Commented): Schema {
  const description = commentOf(desc);
  return {
    ...(description === '' ? {} : { description }),
    ...(desc.deprecated ? { deprecated: true } : {}),
  };
}

/** Refers to a schema of the document. */
export const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

function orNull(schema: Schema): Schema {
  if (schema.type === 'null') return schema;
  if (typeof schema.type === 'string') return { ...schema, type: [schema.type, 'null'] };
  return '$ref' in schema ? { anyOf: [schema, { type: 'null' }] } : schema;
}
