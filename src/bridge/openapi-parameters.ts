import type { DescField, DescMessage, Registry } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';
import { behaviorsOf } from './openapi-fields.js';
import type { PathParameter } from './openapi-paths.js';
import { describe, type SchemaSet } from './openapi-schema.js';
import { type Schema, wellKnownSchema } from './openapi-types.js';
import { resolvePath } from './path-params.js';

/** The parameter of a wildcard. `name` is what the document calls it, which another binding may have chosen. */
export function pathParameter(
  binding: Binding,
  name: string,
  { field: path, partOf, many }: PathParameter,
  schemas: SchemaSet,
): Schema {
  const notes = [
    ...(path === undefined ? ['Any text; it is not used.'] : []),
    ...(partOf === undefined ? [] : [`A part of \`${path}\`, which is \`${partOf}\`.`]),
    ...(partOf === undefined && path !== undefined && path !== name ? [`This is \`${path}\`.`] : []),
    ...(many ? ['May hold slashes.'] : []),
  ];
  const field = path === undefined ? undefined : resolvePath(binding.method.input, path).at(-1);
  const { description, ...rest } = field === undefined ? {} : describe(field);
  const text = [...notes, ...(typeof description === 'string' ? [description] : [])].join(' ');
  const whole = field !== undefined && partOf === undefined && !many;
  const schema = whole ? (textSchema(field, schemas, 'path')?.schema ?? TEXT) : TEXT;
  return { name, in: 'path', required: true, ...(text === '' ? {} : { description: text }), ...rest, schema };
}

/** The parameters of a binding's query: all fields that neither body nor path take. */
export function queryParameters(binding: Binding, registry: Registry, schemas: SchemaSet): Schema[] {
  const { body, method, taken } = binding;
  const streams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  if (body.kind === 'message' || streams) return [];
  const parameters: Schema[] = [];
  const visit = (desc: DescMessage, above: readonly DescField[]): void => {
    for (const field of desc.fields) {
      const path = [...above, field];
      if (taken.includes(path.map((part) => part.name).join('.'))) continue;
      const form = textSchema(field, schemas, 'query');
      if (form !== undefined) parameters.push(queryParameter(path, form, registry));
      else if (isPlain(field) && !above.some((part) => part.message === field.message)) {
        if (field.message !== desc) visit(field.message, path);
      }
    }
  };
  visit(method.input, []);
  return parameters;
}

function queryParameter(path: readonly DescField[], form: Schema, registry: Registry): Schema {
  const field = path.at(-1);
  const name = path.map((part) => part.jsonName).join('.');
  const required = field !== undefined && path.length === 1 && behaviorsOf(field, registry).has('required');
  const about = field === undefined ? {} : describe(field);
  return { name, in: 'query', ...(required ? { required } : {}), ...about, ...form };
}

/** How a field is written as text: its schema, or the content it has; undefined when it cannot be. */
function textSchema(field: DescField, schemas: SchemaSet, where: 'path' | 'query'): Schema | undefined {
  const item = itemSchema(field, schemas, where);
  if (item === undefined) return undefined;
  if (field.fieldKind === 'list') {
    return 'content' in item ? undefined : { schema: { type: 'array', items: item.schema } };
  }
  if (field.fieldKind !== 'map') return item;
  const schema = { type: 'object', additionalProperties: item.schema };
  return field.message === undefined ? { style: 'deepObject', explode: true, schema } : undefined;
}

function itemSchema(field: DescField, schemas: SchemaSet, where: 'path' | 'query'): Schema | undefined {
  if (field.enum?.typeName === 'google.protobuf.NullValue') return { schema: { enum: ['NULL_VALUE'] } };
  const name = field.message?.typeName ?? '';
  if (name === 'google.protobuf.Struct' || name === 'google.protobuf.Value') {
    const json = wellKnownSchema(name) ?? {};
    return where === 'path' ? { schema: TEXT } : { content: { 'application/json': { schema: json } } };
  }
  if (name === 'google.protobuf.Duration' && where === 'query') return { schema: GO_DURATION };
  if (name === 'google.protobuf.FieldMask' && where === 'query') return { schema: MASK };
  if (field.message !== undefined && !hasTextForm(name)) return undefined;
  return { schema: schemas.item(field) };
}

function hasTextForm(name: string): boolean {
  const kinds =
    /^google\.protobuf\.(Timestamp|Duration|FieldMask|(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value)$/;
  return kinds.test(name);
}

/** Whether a query may name the fields inside a field. */
function isPlain(field: DescField): field is DescField & { fieldKind: 'message'; message: DescMessage } {
  return field.fieldKind === 'message' && wellKnownSchema(field.message.typeName) === undefined;
}

const TEXT: Schema = { type: 'string' };

/** In a query, paths are taken as they are. */
const MASK: Schema = { type: 'string', examples: ['display_name,owner.id'] };

/** Such as `1.5s` or `1h30m`. */
const GO_DURATION: Schema = {
  type: 'string',
  pattern: '^[-+]?(0|([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$',
  examples: ['1.5s', '1h30m'],
};
