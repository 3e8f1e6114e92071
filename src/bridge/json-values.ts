import { type DescField, ScalarType } from '@bufbuild/protobuf';
import { type JsonEscaping, numberText, quote } from './json-text.js';

/** How single values are written. */
export interface ValueStyle {
  readonly escaping: JsonEscaping;
}

/** Writes one value that is no message. */
export type ValueWriter = (style: ValueStyle, value: unknown) => string;

/** How values of a field that are no messages are written. */
export function valueWriter(field: DescField): ValueWriter {
  if (field.enum !== undefined) return enumWriter(field.enum);
  switch (field.scalar) {
    case ScalarType.STRING:
      return (style, value) => quote(String(value), style.escaping);
    case ScalarType.BYTES:
      return (_style, value) => `"${base64(value as Uint8Array)}"`;
    case ScalarType.FLOAT:
      return (_style, value) => numberText(Number(value), 32);
    case ScalarType.DOUBLE:
      return (_style, value) => numberText(Number(value), 64);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return (_style, value) => `"${value}"`;
    default:
      return (_style, value) => String(value);
  }
}

function enumWriter(type: NonNullable<DescField['enum']>): ValueWriter {
  if (type.typeName === 'google.protobuf.NullValue') return () => 'null';
  const names = new Map(type.values.map(({ number }) => [number, `"${type.value[number]?.name}"`]));
  return (_style, value) => names.get(Number(value)) ?? String(value);
}

function base64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}
