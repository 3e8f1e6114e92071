import { type DescField, type DescMessage, fromJson, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import type { FieldViolation } from '../model/hub-error.js';
import { findField } from './fields.js';
import { decodeOptions, type JsonInputOptions } from './json-options.js';

/** Most characters of a reason that the library gives. */
const LONGEST_REASON = 200;

/** Finds the first member that cannot be decoded alone, as deep as possible. */
export function locate(
  desc: DescMessage,
  json: JsonValue,
  path: string,
  options: JsonInputOptions,
): FieldViolation {
  if (desc.typeName.startsWith('google.protobuf.')) return { field: path, description: expected(desc, json) };
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { field: path, description: `expected an object, got ${show(json)}` };
  }
  const entries = Object.entries(json);
  const bad = firstBad(entries, (some) => failure(desc, Object.fromEntries(some), options) !== undefined);
  if (bad === undefined) {
    const reason = failure(desc, json, options) ?? 'cannot be decoded';
    return { field: path, description: reason.slice(0, LONGEST_REASON) };
  }
  const [key, value] = bad.item;
  const at = path === '' ? key : `${path}.${key}`;
  const field = findField(desc, key);
  return field === undefined
    ? { field: at, description: 'there is no such field' }
    : locateInField(field, value, at, options);
}

function locateInField(
  field: DescField,
  json: JsonValue,
  at: string,
  options: JsonInputOptions,
): FieldViolation {
  if (field.fieldKind === 'list' && Array.isArray(json)) {
    const isBad = (some: JsonValue[]) =>
      failure(field.parent, { [field.jsonName]: some }, options) !== undefined;
    const bad = firstBad(json, isBad);
    return locateItem(field, bad?.item ?? null, `${at}[${bad?.index ?? -1}]`, options);
  }
  if (field.fieldKind === 'map' && typeof json === 'object' && json !== null && !Array.isArray(json)) {
    const isBad = (some: [string, JsonValue][]) =>
      failure(field.parent, { [field.jsonName]: Object.fromEntries(some) }, options) !== undefined;
    const [key, value] = firstBad(Object.entries(json), isBad)?.item ?? ['', null];
    return locateItem(field, value, `${at}[${JSON.stringify(key)}]`, options);
  }
  if (field.fieldKind === 'list') return { field: at, description: `expected an array, got ${show(json)}` };
  if (field.fieldKind === 'map') return { field: at, description: `expected an object, got ${show(json)}` };
  return locateItem(field, json, at, options);
}

function locateItem(
  field: DescField,
  json: JsonValue,
  at: string,
  options: JsonInputOptions,
): FieldViolation {
  if (field.message !== undefined && json !== null) return locate(field.message, json, at, options);
  return { field: at, description: expected(field, json) };
}

/** The first item that is bad by itself. It halves what may hold it, so that long lists take no longer than a few tries. */
function firstBad<T>(
  items: readonly T[],
  isBad: (some: T[]) => boolean,
): { item: T; index: number } | undefined {
  let from = 0;
  for (let to = items.length; to - from > 1; ) {
    const middle = (from + to) >> 1;
    if (isBad(items.slice(from, middle))) to = middle;
    else from = middle;
  }
  const [item] = items.slice(from, from + 1);
  return item !== undefined && isBad([item]) ? { item, index: from } : undefined;
}

function failure(desc: DescMessage, json: JsonValue, options: JsonInputOptions): string | undefined {
  try {
    fromJson(desc, json, decodeOptions(options));
    return undefined;
  } catch (err) {
    return err instanceof Error ? err.message : String(err);
  }
}

function expected(of: DescField | DescMessage, json: JsonValue): string {
  return `expected ${of.kind === 'message' ? messageForm(of) : fieldForm(of)}, got ${show(json)}`;
}

function fieldForm(field: DescField): string {
  if (field.enum !== undefined) return `one of ${field.enum.values.map((value) => value.name).join(', ')}`;
  if (field.message !== undefined) return messageForm(field.message);
  return field.scalar === undefined ? 'another value' : SCALAR_FORMS[field.scalar];
}

function messageForm(desc: DescMessage): string {
  return MESSAGE_FORMS[desc.typeName] ?? 'an object';
}

const WIDE = 'a whole number of 64 bits, as a number or a string';

const SCALAR_FORMS: Readonly<Record<ScalarType, string>> = {
  [ScalarType.DOUBLE]: 'a number',
  [ScalarType.FLOAT]: 'a number',
  [ScalarType.INT32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.SINT32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.SFIXED32]: 'a number, whole, from -2147483648 to 2147483647',
  [ScalarType.UINT32]: 'a number, whole, from 0 to 4294967295',
  [ScalarType.FIXED32]: 'a number, whole, from 0 to 4294967295',
  [ScalarType.INT64]: WIDE,
  [ScalarType.SINT64]: WIDE,
  [ScalarType.SFIXED64]: WIDE,
  [ScalarType.UINT64]: WIDE,
  [ScalarType.FIXED64]: WIDE,
  [ScalarType.BOOL]: 'true or false',
  [ScalarType.STRING]: 'a string of valid Unicode',
  [ScalarType.BYTES]: 'a base64 string',
};

const MESSAGE_FORMS: Readonly<Record<string, string>> = {
  'google.protobuf.Duration': 'a string of seconds such as "30s"',
  'google.protobuf.Timestamp': 'an RFC 3339 string such as "2026-01-02T03:04:05Z"',
  'google.protobuf.FieldMask': 'a comma list of field paths in lowerCamelCase',
  'google.protobuf.ListValue': 'an array',
};

function show(json: JsonValue): string {
  if (json === null) return 'null';
  if (Array.isArray(json)) return 'an array';
  if (typeof json === 'object') return 'an object';
  const text = JSON.stringify(json);
  return `the ${typeof json} ${text.length > 64 ? `${text.slice(0, 64)}…` : text}`;
}
