import {
  type DescField,
  type DescMessage,
  type DescMethod,
  type FileRegistry,
  getOption,
  ScalarType,
} from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { messageOf } from '../base/errno.js';
import { resolvePath } from './path-params.js';

/** How a stream is taken up again: where its messages tell their position, and where a request takes one. */
export interface StreamCursor {
  /** Fields from the response down to the position. */
  readonly response: readonly DescField[];
  /** Path of the request's field, in proto names. */
  readonly request: string;
}

/** A cursor declared beside the protos, for those that cannot be changed. */
export interface DeclaredCursor {
  /** Such as `pkg.Service/Method`. */
  readonly method: string;
  /** Path in proto names, such as `event.cursor`. */
  readonly responseField: string;
  /** Path in proto names, such as `cursor`. */
  readonly requestField: string;
}

/**
 * The cursors of all streams that have one: by the option `vmagent.v1.stream_cursor`, or declared.
 *
 * @throws Error for one that names a field that is not there or cannot be a position.
 */
export function readCursors(
  registry: FileRegistry,
  declared: readonly DeclaredCursor[] = [],
): ReadonlyMap<DescMethod, StreamCursor> {
  const cursors = new Map<DescMethod, StreamCursor>();
  for (const method of methodsOf(registry)) {
    const found = optionOf(registry, method) ?? declared.find((one) => one.method === nameOf(method));
    if (found !== undefined) cursors.set(method, checked(method, found));
  }
  const unknown = declared.find(
    (one) => ![...cursors.keys()].some((method) => nameOf(method) === one.method),
  );
  if (unknown !== undefined) throw new Error(`the cursor of ${unknown.method}: there is no such method`);
  return cursors;
}

/** The position behind a message as text; undefined when it tells none that an event's id can hold. */
export function positionOf(message: ReflectMessage, { response }: StreamCursor): string | undefined {
  let at: ReflectMessage = message;
  for (const field of response.slice(0, -1)) {
    if (field.fieldKind !== 'message' || !at.isSet(field)) return undefined;
    at = at.get(field);
  }
  const last = response.at(-1);
  const value: unknown = last === undefined ? '' : at.get(last);
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value);
  return isPosition(text) ? text : undefined;
}

/** Whether the id of an event can hold a text. */
export function isPosition(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: an id ends with its line and may hold no NUL
  return text !== '' && !/[\u0000\r\n]/.test(text);
}

function methodsOf(registry: FileRegistry): DescMethod[] {
  return [...registry.files].flatMap((file) => file.services.flatMap((service) => service.methods));
}

function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function optionOf(registry: FileRegistry, method: DescMethod): DeclaredCursor | undefined {
  const extension = registry.getExtension('vmagent.v1.stream_cursor');
  if (extension?.message === undefined || method.proto.options === undefined) return undefined;
  const option = reflect(extension.message, getOption(method, extension) as never, false);
  const text = (name: string) => {
    const field = option.desc.fields.find((candidate) => candidate.name === name);
    return field === undefined ? '' : String(option.get(field));
  };
  const [responseField, requestField] = [text('response_field'), text('request_field')];
  if (responseField === '' && requestField === '') return undefined;
  return { method: nameOf(method), responseField, requestField };
}

function checked(method: DescMethod, declared: DeclaredCursor): StreamCursor {
  if (method.methodKind !== 'server_streaming')
    throw new Error(`${method}: only a method that streams its answers alone can have a stream_cursor`);
  const response = position(method, method.output, declared.responseField);
  position(method, method.input, declared.requestField);
  return { response, request: declared.requestField };
}

function position(method: DescMethod, desc: DescMessage, path: string): DescField[] {
  const fields = fieldsOf(method, desc, path);
  const last = fields.at(-1);
  const fits = last?.fieldKind === 'scalar' && !NO_POSITION.includes(last.scalar);
  if (!fits)
    throw new Error(`${method}: the cursor ${desc.typeName}.${path} is no text, whole number or bytes`);
  return fields;
}

function fieldsOf(method: DescMethod, desc: DescMessage, path: string): DescField[] {
  try {
    return resolvePath(desc, path);
  } catch (err) {
    throw new Error(`${method}: its cursor: ${messageOf(err)}`, { cause: err });
  }
}

const NO_POSITION: readonly ScalarType[] = [ScalarType.BOOL, ScalarType.DOUBLE, ScalarType.FLOAT];
