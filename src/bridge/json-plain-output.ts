import { type DescField, ScalarType } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { GatewayError } from './gateway-error.js';
import { type Emitter, messageToJson } from './json-output.js';
import { byBytes, numberText, quote } from './json-text.js';

/**
 * Writes one field alone, as for `response_body`. Go writes what is not a message through encoding/json there:
 * 64-bit integers are plain numbers, unknown enum values strings, keys of maps in the order of their bytes, and what
 * is not set is null. Unset messages are written as empty ones.
 *
 * @throws GatewayError (UNKNOWN) for what has no JSON form, such as NaN.
 */
export function fieldToJson(emitter: Emitter, message: ReflectMessage, field: DescField): string {
  switch (field.fieldKind) {
    case 'message':
      return messageToJson(emitter, message.get(field));
    case 'list':
      return `[${[...message.get(field)].map((item) => plainText(emitter, field, item)).join(',')}]`;
    case 'map':
      return mapText(emitter, message, field);
    default:
      return isNil(message, field) ? nil(field) : plainText(emitter, field, message.get(field));
  }
}

/** Whether the field is a nil pointer or slice in Go. */
function isNil(message: ReflectMessage, field: DescField): boolean {
  const isPointer = field.presence !== FeatureSet_FieldPresence.IMPLICIT || field.scalar === ScalarType.BYTES;
  return isPointer && !message.isSet(field);
}

function nil(field: DescField): string {
  return field.scalar === ScalarType.BYTES ? '[]' : 'null';
}

function mapText(
  emitter: Emitter,
  message: ReflectMessage,
  field: DescField & { readonly fieldKind: 'map' },
): string {
  const entries = [...message.get(field)].map(
    ([key, value]) => [String(key), plainText(emitter, field, value)] as const,
  );
  const sorted = entries.sort(([a], [b]) => byBytes(a, b));
  return `{${sorted.map(([key, text]) => `${quote(key, 'html')}:${text}`).join(',')}}`;
}

function plainText(emitter: Emitter, field: DescField, value: unknown): string {
  if (field.message !== undefined) {
    const escaping = field.fieldKind === 'map' ? 'html' : emitter.escaping;
    return messageToJson({ ...emitter, escaping }, value as ReflectMessage);
  }
  if (field.enum !== undefined) return quote(enumText(field.enum, Number(value)), 'html');
  switch (field.scalar) {
    case ScalarType.STRING:
      return quote(String(value), 'html');
    case ScalarType.BYTES:
      return `"${Buffer.from(value as Uint8Array).toString('base64')}"`;
    case ScalarType.FLOAT:
      return finite(numberText(Number(value), 32));
    case ScalarType.DOUBLE:
      return finite(numberText(Number(value), 64));
    default:
      return String(value);
  }
}

function enumText(type: NonNullable<DescField['enum']>, value: number): string {
  return type.value[value]?.name ?? String(value);
}

function finite(text: string): string {
  if (!text.startsWith('"')) return text;
  const name = text.slice(1, -1).replace(/^(-?)Infinity$/, (_, sign: string) => `${sign || '+'}Inf`);
  throw new GatewayError(2, `json: unsupported value: ${name}`);
}
