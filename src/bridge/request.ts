import type { JsonValue } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { holdsBadText } from './bad-text.js';
import type { Binding } from './bindings.js';
import { fillUpdateMask } from './field-mask.js';
import { GatewayError } from './gateway-error.js';
import { PROTO } from './json-error.js';
import {
  bodyText,
  firstJson,
  type JsonInputOptions,
  messageFromJson,
  setFieldFromJson,
} from './json-input.js';
import { parseMediaType } from './media-type.js';
import { setPathParameters } from './path-params.js';
import { hasBadUtf8 } from './percent.js';
import { parseQuery, setQueryParameters } from './query.js';
import { missingField } from './required-fields.js';

/** What a request is made of. */
export interface RequestParts {
  readonly params: ReadonlyMap<string, string>;
  /** Without the question mark. */
  readonly query: string;
  readonly body: Uint8Array;
  /** The `Content-Type` of a request whose body may be a form; undefined for other methods. */
  readonly formType: string | undefined;
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
  const stoodIn = parts.standsIn ? formValues(parts, parts.body) : undefined;
  const message = fromBody(binding, parts, options);
  setPathParameters(message, parts.params, options.registry);
  if (binding.takesQuery) {
    const rest = binding.body.kind === 'none' ? parts.body : new Uint8Array();
    const values = stoodIn ?? formValues(parts, rest);
    setQueryParameters(message, values, binding.taken, options.registry);
  }
  // Go looks at texts when it encodes them, after everything else.
  if (mayHoldBadText(parts) && holdsBadText(message)) {
    throw new GatewayError(13, 'grpc: error while marshaling: string field contains invalid UTF-8');
  }
  return encodeMessage(message);
}

function mayHoldBadText({ params, query, formType }: RequestParts): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: whatever is no ASCII
  return formType !== undefined || /%|[^\u0000-\u007f]/.test(query) || [...params.values()].some(hasBadUtf8);
}

/** A message from the text of one JSON value, as on a client stream. */
export function encodeJson(binding: Binding, text: string, options: BuildOptions): Buffer {
  const json = bodyJson(binding, text, options) ?? '{}';
  return encodeMessage(messageFromJson(binding.method.input, json, options));
}

/** The values of a form, and behind them those of the query. */
function formValues({ formType, query }: RequestParts, body: Uint8Array): Map<string, string[]> {
  const { type, error } = formType === undefined || formType === '' ? { type: '' } : parseMediaType(formType);
  const form = new Map<string, string[]>();
  if (type === 'application/x-www-form-urlencoded') parseQuery(Buffer.from(body).toString('latin1'), form);
  if (error !== undefined) throw GatewayError.badRequest(error);
  return parseQuery(query, form);
}

function encodeMessage(message: ReflectMessage): Buffer {
  const missing = missingField(message);
  if (missing !== undefined) {
    throw new GatewayError(13, `grpc: error while marshaling: ${PROTO}required field ${missing} not set`);
  }
  const bytes = toBinary(message.desc, message.message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function fromBody(binding: Binding, parts: RequestParts, options: BuildOptions): ReflectMessage {
  const { method, body } = binding;
  const empty = reflect(method.input, create(method.input), false);
  if (body.kind === 'none') return empty;
  const json = parts.standsIn ? undefined : bodyJson(binding, bodyText(parts.body), options);
  if (body.kind === 'message')
    return json === undefined ? empty : messageFromJson(method.input, json, options);
  if (json !== undefined) setFieldFromJson(empty, body.field, json, options);
  else if (body.field.fieldKind === 'message') empty.set(body.field, reflect(body.field.message));
  if (binding.httpMethod === 'PATCH') fillUpdateMask(empty, body.field, json);
  return empty;
}

/** The JSON of a body; undefined for a blank one. */
function bodyJson(binding: Binding, text: string, options: BuildOptions): string | undefined {
  const json = firstJson(text, options.maxDepth);
  if (json === undefined || options.prepareBody === undefined) return json;
  const given: JsonValue = JSON.parse(json);
  const prepared = options.prepareBody(binding, given);
  return prepared === given ? json : JSON.stringify(prepared);
}
