import type { FieldViolation } from '../model/hub-error.js';
import { GatewayError } from './gateway-error.js';
import type { JsonReader } from './json-reader.js';

/** Prefix of messages of Go's package proto, which has a space there that does not break. */
export const PROTO = 'proto:\u00a0';

/** How bad JSON is told. */
export type JsonErrorStyle = 'go' | 'fields';

/** What is wrong with a JSON text, in both ways in which it may be told. */
export interface JsonFault {
  /** Where the piece begins. */
  readonly at: number;
  /** Go's text behind the place. */
  readonly go: string;
  /** Whether Go calls it a mistake of syntax. */
  readonly syntax?: boolean;
  /** What is allowed, in words. */
  readonly description: string;
}

/** The error for a fault: in Go's words, or naming the field with details for programs. */
export function jsonError(
  reader: JsonReader,
  path: readonly string[],
  fault: JsonFault,
  style: JsonErrorStyle,
): GatewayError {
  if (style === 'go') {
    const { line, column } = reader.place(fault.at);
    const kind = fault.syntax === true ? 'syntax error ' : '';
    return GatewayError.badRequest(`${PROTO}${kind}(line ${line}:${column}): ${fault.go}`);
  }
  return fieldError({ field: pathText(path), description: fault.description });
}

/** The error for fields that there are not. */
export function unknownFields(fields: readonly string[], style: JsonErrorStyle): GatewayError {
  const names = fields.map((field) => JSON.stringify(field)).join(', ');
  const violations = fields.map((field) => ({ field, description: 'there is no such field' }));
  return GatewayError.badRequest(`unknown fields: ${names}`, style === 'fields' ? violations : []);
}

/** The error for one bad field. */
function fieldError(violation: FieldViolation): GatewayError {
  const { field, description } = violation;
  const message =
    field === '' ? `invalid body: ${description}` : `invalid value for field "${field}": ${description}`;
  return GatewayError.badRequest(message, [violation]);
}

/** A path of pieces such as `.a` and `[0]` as people write it. */
export function pathText(path: readonly string[]): string {
  return path.join('').replace(/^\./, '');
}

/** A piece of JSON in words, such as `the string "soon"`. */
export function describePiece(raw: string): string {
  const first = raw[0] ?? '';
  if (first === '{') return 'an object';
  if (first === '[') return 'an array';
  if (first === 'n') return 'null';
  const kind = first === '"' ? 'string' : first === 't' || first === 'f' ? 'boolean' : 'number';
  return `the ${kind} ${raw.length > 64 ? `${raw.slice(0, 64)}…` : raw}`;
}
