import type { DescField, DescMessage, Registry } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { findField, PATH_RULES, parseText } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { setQueryParameter } from './query.js';
import { ParseError } from './scalars.js';

/**
 * Puts the values that the path captured into a message, over what is there.
 *
 * @throws GatewayError (INVALID_ARGUMENT) that names the parameter.
 */
export function setPathParameters(
  message: ReflectMessage,
  params: ReadonlyMap<string, string>,
  registry: Registry,
): void {
  for (const [name, text] of params) {
    try {
      setParameter(message, name, text, registry);
    } catch (err) {
      if (!(err instanceof ParseError)) throw err;
      throw GatewayError.badRequest(`type mismatch, parameter: ${name}, error: ${err.message}`);
    }
  }
}

/** The fields of a dotted path in proto names. @throws Error when there is no such path. */
export function resolvePath(desc: DescMessage, path: string): DescField[] {
  const fields: DescField[] = [];
  let at: DescMessage | undefined = desc;
  for (const name of path.split('.')) {
    const field: DescField | undefined = at?.fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw new Error(`no field "${path}" in ${desc.typeName}`);
    fields.push(field);
    at = field.fieldKind === 'message' ? field.message : undefined;
  }
  return fields;
}

function setParameter(message: ReflectMessage, name: string, text: string, registry: Registry): void {
  const field = findField(message.desc, name);
  if (field === undefined) {
    clearPath(message, resolvePath(message.desc, name));
    setQueryParameter(message, name.split('.'), [text], registry);
  } else if (field.fieldKind === 'list') {
    message.clear(field);
    const list = message.get(field);
    if (text !== '')
      for (const item of text.split(',')) list.add(parseText(field, item, PATH_RULES, registry));
  } else {
    message.set(field, parseText(field, text, PATH_RULES, registry));
  }
}

/** The path wins over the body, so that a oneof set there does not stand in its way. */
function clearPath(message: ReflectMessage, [field, ...rest]: readonly DescField[]): void {
  if (field === undefined || !message.isSet(field)) return;
  if (rest.length === 0 || field.fieldKind !== 'message') {
    message.clear(field);
    return;
  }
  const child = message.get(field);
  clearPath(child, rest);
  message.set(field, child);
}
