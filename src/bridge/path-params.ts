import type { DescField, DescMessage, Registry } from '@bufbuild/protobuf';
import type { ReflectMessage } from '@bufbuild/protobuf/reflect';
import { PATH_RULES, parseText } from './fields.js';
import { GatewayError } from './gateway-error.js';
import { goQuote } from './go-quote.js';
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
  const field = message.desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) {
    // Paths into messages go by the rules of queries.
    setQueryParameter(message, name.split('.'), [text], registry);
    return;
  }
  checkOneof(message, field);
  if (field.fieldKind === 'list') {
    message.clear(field);
    const list = message.get(field);
    for (const item of text.split(',')) list.add(parseText(field, item, PATH_RULES, registry));
  } else {
    message.set(field, parseText(field, text, PATH_RULES, registry));
  }
}

/** A body may not have set another member of the parameter's oneof. */
function checkOneof(message: ReflectMessage, field: DescField): void {
  const set = field.oneof === undefined ? undefined : message.oneofCase(field.oneof);
  if (set === undefined || set === field) return;
  throw GatewayError.badRequest(`the path sets ${goQuote(field.name)}, but the body ${goQuote(set.name)}`);
}
