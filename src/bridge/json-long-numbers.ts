import { type DescField, type DescMessage, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import type { FieldViolation } from '../model/hub-error.js';
import { findField } from './fields.js';

/** A string that begins with more digits than any number needs: reading it as one takes the square of its length. */
const LONG_DIGITS = /"[+-]?\d{1000}/;
const MOST_CHARACTERS = 1000;

const suspects = new WeakSet<object>();

/** Remembers whether a value has strings that must not be read as numbers; answers the value. */
export function watchLongNumbers(text: string, value: JsonValue): JsonValue {
  if (typeof value === 'object' && value !== null && LONG_DIGITS.test(text)) suspects.add(value);
  return value;
}

/** The first 64-bit integer of a body that is written with far too many digits. */
export function longNumberIn(desc: DescMessage, json: JsonValue): FieldViolation | undefined {
  return typeof json === 'object' && json !== null && suspects.has(json)
    ? inMessage(desc, json, '')
    : undefined;
}

function inMessage(desc: DescMessage, json: JsonValue, path: string): FieldViolation | undefined {
  const [first] = desc.fields;
  if (desc.typeName.startsWith('google.protobuf.')) {
    return first === undefined || desc.fields.length > 1 ? undefined : inValue(first, json, path);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  for (const [key, value] of Object.entries(json)) {
    const field = findField(desc, key);
    const at = path === '' ? key : `${path}.${key}`;
    const found = field === undefined ? undefined : inField(field, value, at);
    if (found !== undefined) return found;
  }
  return undefined;
}

function inField(field: DescField, json: JsonValue, at: string): FieldViolation | undefined {
  if (field.fieldKind === 'list') {
    return Array.isArray(json) ? firstOf(json, (item) => inValue(field, item, at)) : undefined;
  }
  if (field.fieldKind !== 'map') return inValue(field, json, at);
  if (typeof json !== 'object' || json === null) return undefined;
  const isLong = isWide(field.mapKey) && Object.keys(json).some((key) => key.length > MOST_CHARACTERS);
  return isLong ? violation(at) : firstOf(Object.values(json), (item) => inValue(field, item, at));
}

function inValue(field: DescField, json: JsonValue, at: string): FieldViolation | undefined {
  if (field.message !== undefined) return inMessage(field.message, json, at);
  const isLong = typeof json === 'string' && json.length > MOST_CHARACTERS;
  return isLong && isWide(field.scalar) ? violation(at) : undefined;
}

function firstOf<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isWide(scalar: ScalarType | undefined): boolean {
  return scalar !== undefined && WIDE.has(scalar);
}

const WIDE: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.SINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
]);

function violation(field: string): FieldViolation {
  return {
    field,
    description: `expected a whole number of 64 bits, got more than ${MOST_CHARACTERS} characters`,
  };
}
