import { type DescField, type DescMessage, type Message, ScalarType, toJson } from '@bufbuild/protobuf';
import { GatewayError } from './gateway-error.js';
import { type JsonEscaping, numberText, quote } from './json-text.js';

/** How single values are written. */
export interface ValueStyle {
  readonly escaping: JsonEscaping;
  /** Writes 64-bit integers as plain numbers, as Go does outside of messages. */
  readonly bareIntegers?: boolean;
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
      return (style, value) => (style.bareIntegers ? String(value) : `"${value}"`);
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

const FIRST_SECOND = -62_135_596_800;
const LAST_SECOND = 253_402_300_799;

/** A Timestamp, Duration or FieldMask as the text that it is in JSON. @throws GatewayError (UNKNOWN). */
export function textForm(desc: DescMessage, message: Message): string {
  if (desc.typeName === 'google.protobuf.Timestamp') {
    const { seconds, nanos } = message as unknown as { readonly seconds: bigint; readonly nanos: number };
    const time = timestampText(Number(seconds), nanos);
    if (time !== undefined) return time;
  }
  try {
    return String(toJson(desc, message));
  } catch (err) {
    const path = /path name "(.*)" is irreversible/.exec(String(err))?.[1];
    const text =
      path === undefined
        ? String(err)
        : `google.protobuf.FieldMask.paths contains irreversible value "${path}"`;
    throw new GatewayError(2, `proto: ${text}`, { cause: err });
  }
}

/** With 0, 3, 6 or 9 digits behind the seconds; undefined for what has no such form. */
function timestampText(seconds: number, nanos: number): string | undefined {
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > 999_999_999) return undefined;
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (nanos === 0) return `${whole}Z`;
  return `${whole}.${String(nanos)
    .padStart(9, '0')
    .replace(/(000){1,2}$/, '')}Z`;
}
