import type { DescField, DescMessage, JsonValue } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { findField } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { parseQuery } from './query.js';

/**
 * Fills the update mask of a PATCH request from the fields that its body names, when the request has exactly
 * one field mask and the caller gave none.
 *
 * @throws GatewayError (INVALID_ARGUMENT) for a field that the resource does not have.
 */
export function fillUpdateMask(
  message: ReflectMessage,
  body: DescField,
  json: JsonValue | undefined,
  query: string,
): void {
  const masks = message.fields.filter(
    (field) => field.message?.typeName === MASK && field.fieldKind === 'message',
  );
  const [mask] = masks;
  if (masks.length !== 1 || mask?.fieldKind !== 'message' || body.fieldKind !== 'message') return;
  const paths = json === undefined ? [] : leafPaths(body.message, json);
  const given = [mask.name, mask.jsonName].some((name) => parseQuery(query).has(name));
  if (given || message.isSet(mask)) return;
  const value = message.get(mask);
  const list = value.desc.fields[0];
  if (list?.fieldKind === 'list') for (const path of paths) value.get(list).add(path);
  message.set(mask, value);
}

const MASK = 'google.protobuf.FieldMask';

function leafPaths(desc: DescMessage, json: JsonValue): string[] {
  if (!isObject(json)) return [];
  return Object.entries(json)
    .flatMap(([key, value]) => {
      const field = findField(desc, key);
      if (field === undefined) {
        throw GatewayError.badRequest(
          `could not find field ${JSON.stringify(key)} in ${JSON.stringify(desc.typeName)}`,
        );
      }
      return descend(field, value).map((path) => (path === '' ? field.name : `${field.name}.${path}`));
    })
    .sort();
}

function descend(field: DescField, json: JsonValue): string[] {
  if (field.fieldKind !== 'message' || !isObject(json) || Object.keys(json).length === 0) return [''];
  const { typeName } = field.message;
  if (typeName === 'google.protobuf.Struct' || typeName === 'google.protobuf.Value')
    return dynamicPaths(json);
  return typeName.startsWith('google.protobuf.') ? [''] : leafPaths(field.message, json);
}

function dynamicPaths(json: JsonValue): string[] {
  if (!isObject(json) || Object.keys(json).length === 0) return [''];
  return Object.entries(json).flatMap(([key, value]) =>
    dynamicPaths(value).map((path) => (path === '' ? key : `${key}.${path}`)),
  );
}

function isObject(json: JsonValue): json is { [key: string]: JsonValue } {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
