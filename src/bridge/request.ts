import type { JsonValue } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { Binding } from './bindings.js';
import { fillUpdateMask } from './field-mask.js';
import { decodeUtf8, messageFromJson, parseJson, setFieldFromJson } from './json-input.js';
import type { JsonInputOptions } from './json-options.js';
import { setPathParameters } from './path-params.js';
import { parseQuery, setQueryParameters } from './query.js';

/** What a request is made of. */
export interface RequestParts {
  readonly params: ReadonlyMap<string, string>;
  /** Without the question mark. */
  readonly query: string;
  readonly body: Uint8Array;
  /** Whether the body is a form whose fields count as query parameters. */
  readonly isForm: boolean;
  /** Whether the form is the request: it stands for another method, which has no body then. */
  readonly standsIn: boolean;
}

/** Options of {@link buildRequest}. */
export interface BuildOptions extends JsonInputOptions {
  /** May rewrite the JSON of a body before it is decoded. */
  readonly prepareBody?: ((binding: Binding, json: JsonValue) => JsonValue) | undefined;
}

/**
 * Builds the request message of a binding: body, then path parameters over it, then query parameters.
 *
 * @throws GatewayError (INVALID_ARGUMENT).
 */
export function buildRequest(binding: Binding, parts: RequestParts, options: BuildOptions): Buffer {
  const message = fromBody(binding, parts, options);
  setPathParameters(message, parts.params, options.registry);
  if (binding.body.kind !== 'message') {
    const form =
      parts.isForm && binding.body.kind === 'none' ? parseQuery(decodeUtf8(parts.body)) : undefined;
    setQueryParameters(message, parseQuery(parts.query, form), binding.taken, options.registry);
  }
  return encodeMessage(message);
}

/** A message from one JSON value, as on a client stream. */
export function encodeJson(binding: Binding, json: JsonValue, options: BuildOptions): Buffer {
  const prepared = options.prepareBody?.(binding, json) ?? json;
  return encodeMessage(messageFromJson(binding.method.input, prepared, options));
}

function encodeMessage(message: ReflectMessage): Buffer {
  const bytes = toBinary(message.desc, message.message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fromBody(binding: Binding, parts: RequestParts, options: BuildOptions): ReflectMessage {
  const { method, body } = binding;
  const empty = reflect(method.input, create(method.input));
  if (body.kind === 'none') return empty;
  const parsed = parseJson(decodeUtf8(parts.body));
  const json = parsed === undefined ? undefined : (options.prepareBody?.(binding, parsed) ?? parsed);
  if (body.kind === 'message')
    return json === undefined ? empty : messageFromJson(method.input, json, options);
  if (json !== undefined) setFieldFromJson(empty, body.field, json, options);
  else if (body.field.fieldKind === 'message') empty.set(body.field, reflect(body.field.message));
  if (binding.httpMethod === 'PATCH') fillUpdateMask(empty, body.field, json, parts.query);
  return empty;
}
