import type { Json } from '../model/agent.js';
import type { Violations } from './violations.js';

/** How deep metadata may be nested; also keeps the recursive encoder of a Struct from running out of stack. */
const MAX_DEPTH = 16;

/** A JSON object, as models hold it. */
export type JsonObject = { readonly [key: string]: Json };

/** What a google.protobuf.Struct is in generated code. */
export type ProtoStruct = { [key: string]: unknown };

/** A JSON object as a Struct. */
export function structFromJson(value: JsonObject): ProtoStruct {
  return { ...value };
}

/**
 * A Struct as a JSON object; none is an empty one. Records under `field` when it is larger than `maxBytes` as
 * JSON text, nested too deep, or not JSON.
 */
export function jsonFromStruct(
  field: string,
  struct: ProtoStruct | undefined,
  limits: { readonly maxBytes: number; readonly found: Violations },
): JsonObject {
  const { found, maxBytes } = limits;
  const copy: { [key: string]: Json } = {};
  for (const [key, value] of Object.entries(struct ?? {})) {
    const json = toJson(value, 1);
    if (json === undefined) found.add(field, `JSON values, at most ${MAX_DEPTH} deep`);
    else copy[key] = json;
  }
  if (Buffer.byteLength(JSON.stringify(copy)) > maxBytes)
    found.add(field, `at most ${maxBytes} bytes as JSON`);
  return copy;
}

/** A copy made of plain JSON, or undefined when there is something else in it or it is too deep. */
function toJson(value: unknown, depth: number): Json | undefined {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'object' || depth >= MAX_DEPTH) return undefined;
  if (Array.isArray(value)) {
    const items = value.map((item) => toJson(item, depth + 1));
    return items.some((item) => item === undefined) ? undefined : (items as Json[]);
  }
  const entries = Object.entries(value).map(([key, item]) => [key, toJson(item, depth + 1)] as const);
  return entries.some(([, item]) => item === undefined)
    ? undefined
    : (Object.fromEntries(entries) as { [key: string]: Json });
}
