import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { hasBadUtf8 } from './percent.js';

/** Whether any text in a message is not UTF-8, as texts of paths and queries may be. */
export function holdsBadText(message: ReflectMessage): boolean {
  return message.fields.some((field) => {
    if (!message.isSet(field)) return false;
    if (field.fieldKind === 'map') return [...message.get(field)].flat().some(isBad);
    return field.fieldKind === 'list' ? [...message.get(field)].some(isBad) : isBad(message.get(field));
  });
}

function isBad(value: unknown): boolean {
  if (typeof value === 'string') return hasBadUtf8(value);
  return isReflected(value) && holdsBadText(value);
}

function isReflected(value: unknown): value is ReflectMessage {
  return typeof value === 'object' && value !== null && 'desc' in value && 'fields' in value;
}
