import type { DescField, DescMessage, JsonValue, Registry } from '@bufbuild/protobuf';
import { findField } from './fields.js';

/** Most unknown fields that are named in one answer. */
const MOST = 100;

/** The paths of all members of a JSON value that its message has no field for, such as `retry.maxAttemps`. */
export function unknownFields(
  desc: DescMessage,
  json: JsonValue,
  registry: Registry,
  path = '',
): readonly string[] {
  const found: string[] = [];
  collect(desc, json, registry, path, found);
  return found.slice(0, MOST);
}

function collect(
  desc: DescMessage,
  json: JsonValue,
  registry: Registry,
  path: string,
  found: string[],
): void {
  if (!isObject(json)) return;
  const members = Object.entries(json);
  if (desc.typeName === 'google.protobuf.Any') {
    collectAny(json, registry, path, found);
    return;
  }
  if (desc.typeName.startsWith('google.protobuf.')) return;
  for (const [key, value] of members) {
    const at = path === '' ? key : `${path}.${key}`;
    const field = findField(desc, key);
    if (field !== undefined) collectField(field, value, registry, at, found);
    else if (found.length < MOST) found.push(at);
  }
}

function collectField(
  field: DescField,
  json: JsonValue,
  registry: Registry,
  at: string,
  found: string[],
): void {
  const { message } = field;
  if (message === undefined) return;
  if (field.fieldKind === 'list' && Array.isArray(json)) {
    for (const [i, item] of json.entries()) collect(message, item, registry, `${at}[${i}]`, found);
  } else if (field.fieldKind === 'map' && isObject(json)) {
    for (const [key, item] of Object.entries(json))
      collect(message, item, registry, `${at}[${JSON.stringify(key)}]`, found);
  } else {
    collect(message, json, registry, at, found);
  }
}

function collectAny(
  json: Record<string, JsonValue>,
  registry: Registry,
  path: string,
  found: string[],
): void {
  const { '@type': type, ...rest } = json;
  const name = typeof type === 'string' ? type.slice(type.lastIndexOf('/') + 1) : '';
  const desc = registry.getMessage(name);
  if (desc !== undefined) collect(desc, rest, registry, path, found);
}

function isObject(json: JsonValue): json is Record<string, JsonValue> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
