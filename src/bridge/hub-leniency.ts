import type { JsonValue } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';

/**
 * What our REST bodies may hold beyond proto3 JSON: in `POST /agents`, `capabilities` may be a comma list, as
 * the first system's provisioner sent it.
 */
export function acceptHubShorthands({ method }: Binding, json: JsonValue): JsonValue {
  if (`${method.parent.name}.${method.name}` !== 'Hub.CreateAgent') return json;
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  if (typeof json.capabilities !== 'string') return json;
  const list = json.capabilities.split(',').map((item) => item.trim());
  return { ...json, capabilities: list.filter((item) => item !== '') };
}
