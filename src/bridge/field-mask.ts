import type { DescField, DescMessage, JsonValue } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { findField } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
import { byBytes } from './json-text.js';

/**
 * Fills the update mask of a PATCH request from the fields that its body names, when the request has exactly one
 * field mask.
 *
 * @throws GatewayError (INVALID_ARGUMENT) for a field that the resource does not have.
 */
export function fillUpdateMask(message: ReflectMessage, body: DescField, json: string | undefined): void {
  const masks = message.fields.filter((field) => field.message?.typeName === MASK);
  const [mask] = masks;
  if (masks.length !== 1 || mask?.fieldKind !== 'message' || body.fieldKind !== 'message') return;
  const value = message.get(mask);
  const list = value.desc.fields[0];
  if (list?.fieldKind !== 'list' || value.get(list).size > 0) return;
  const paths = json === undefined ? [] : leafPaths(body.message, JSON.parse(json), '');
  for (const path of paths.sort(byBytes)) value.get(list).add(path);
  message.set(mask, value);
}

const MASK = 'google.protobuf.FieldMask';
const DYNAMIC = ['google.protobuf.Struct', 'google.protobuf.Value'];

/** Paths of what an object sets. An empty one counts as a whole, as in grpc-gateway, also where it has no name. */
function leafPaths(desc: DescMessage, json: JsonValue, at: string): string[] {
  if (!isObject(json)) return at === '' ? [] : [at];
  if (Object.keys(json).length === 0) return [at];
  return Object.entries(json).flatMap(([key, value]) => {
    const field = findField(desc, key);
    if (field === undefined) {
      throw GatewayError.badRequest(`could not find field ${goQuote(key)} in ${goQuote(desc.typeName)}`);
    }
    return memberPaths(field, key, value, at);
  });
}

function memberPaths(field: DescField, key: string, json: JsonValue, at: string): string[] {
  const path = at === '' ? field.name : `${at}.${field.name}`;
  if (field.message !== undefined && DYNAMIC.includes(field.message.typeName) && field.fieldKind !== 'map') {
    return dynamicPaths(json, path);
  }
  if (field.fieldKind !== 'message') return [path];
  if (field.message.typeName !== 'google.protobuf.Any') return leafPaths(field.message, json, path);
  if (isObject(json) && '@type' in json) return [key];
  throw GatewayError.badRequest(
    `could not find field @type in ${goQuote(key)} in message ${goQuote(field.parent.typeName)}`,
  );
}

/** Paths below a value of any form: all names, and none where there is nothing. */
function dynamicPaths(json: JsonValue, path: string): string[] {
  if (!isObject(json)) return [path];
  return Object.entries(json).flatMap(([key, value]) => dynamicPaths(value, `${path}.${key}`));
}

function isObject(json: JsonValue): json is { [key: string]: JsonValue } {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
