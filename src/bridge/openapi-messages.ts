import type { DescMessage } from '@bufbuild/protobuf';

/** Names of the messages that are among these or inside them. */
export function messagesBelow(messages: readonly DescMessage[]): ReadonlySet<string> {
  const found = new Set<string>();
  const waiting = [...messages];
  for (let desc = waiting.pop(); desc !== undefined; desc = waiting.pop()) {
    if (found.has(desc.typeName)) continue;
    found.add(desc.typeName);
    for (const field of desc.fields) if (field.message !== undefined) waiting.push(field.message);
  }
  return found;
}
