import { type DescField, ScalarType } from '@bufbuild/protobuf';
import { goBase64 } from './go-base64.js';
import { floatNumber, numberInString, wholeNumber } from './json-numbers.js';
import type { JsonReader } from './json-reader.js';
import { ParseError } from './scalars.js';

/** Stands for a name of an enum that is not known: the value is left out. */
export const LEFT_OUT = Symbol('left out');

/**
 * Reads a value of a scalar or enum type, in the form that reflection takes.
 *
 * @returns undefined for what the type does not take.
 */
export function readScalar(reader: JsonReader, field: DescField): unknown {
  if (field.enum !== undefined) return readEnum(reader, field.enum);
  switch (field.scalar) {
    case ScalarType.BOOL:
      return readBoolean(reader);
    case ScalarType.STRING:
      return reader.peek() === '"' ? reader.string() : skipped(reader);
    case ScalarType.BYTES:
      return reader.peek() === '"' ? bytesOf(reader.string()) : skipped(reader);
    case ScalarType.FLOAT:
      return readFloat(reader, 32);
    case ScalarType.DOUBLE:
      return readFloat(reader, 64);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return narrow(inRange(readWhole(reader), 0n, 2n ** 32n));
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return narrow(inRange(readWhole(reader), -(2n ** 31n), 2n ** 31n));
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return inRange(readWhole(reader), 0n, 2n ** 64n);
    default:
      return inRange(readWhole(reader), -(2n ** 63n), 2n ** 63n);
  }
}

function readBoolean(reader: JsonReader): boolean | undefined {
  const kind = reader.peek();
  if (kind !== 't' && kind !== 'f') return skipped(reader);
  return reader.word() === 'true';
}

function readEnum(reader: JsonReader, desc: NonNullable<DescField['enum']>): unknown {
  const kind = reader.peek();
  if (kind === '"') {
    const name = reader.string();
    if (name === undefined) return undefined;
    return desc.values.find((value) => value.name === name)?.number ?? LEFT_OUT;
  }
  if (kind === '0') return narrow(inRange(wholeNumber(reader.word()), -(2n ** 31n), 2n ** 31n));
  if (kind === 'n' && desc.typeName === 'google.protobuf.NullValue') {
    reader.word();
    return 0;
  }
  return skipped(reader);
}

function readWhole(reader: JsonReader): bigint | undefined {
  const text = readNumber(reader);
  return text === undefined ? undefined : wholeNumber(text);
}

function readNumber(reader: JsonReader): string | undefined {
  if (reader.peek() === '0') return reader.word();
  if (reader.peek() !== '"') return skipped(reader);
  return numberInString(reader.string() ?? 'x');
}

/** A float or double as Go reads it. */
export function readFloat(reader: JsonReader, bits: 32 | 64): number | undefined {
  if (reader.peek() === '0') return floatNumber(reader.word(), bits);
  if (reader.peek() !== '"') return skipped(reader);
  const text = reader.string() ?? 'x';
  if (text === 'NaN' || text === 'Infinity' || text === '-Infinity') return Number(text);
  const number = numberInString(text);
  return number === undefined ? undefined : floatNumber(number, bits);
}

function bytesOf(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  try {
    return new Uint8Array(goBase64(text, { url: /[-_]/.test(text), padded: text.length % 4 === 0 }));
  } catch (err) {
    if (err instanceof ParseError) return undefined;
    throw err;
  }
}

function inRange(value: bigint | undefined, first: bigint, behind: bigint): bigint | undefined {
  return value === undefined || value < first || value >= behind ? undefined : value;
}

function narrow(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** Marks the next piece as the one that is not as it must be. */
function skipped(reader: JsonReader): undefined {
  reader.start = reader.position;
  return undefined;
}
