/** Each item of `source` through `fn`, one at a time. Leaving the loop early leaves `source` too. */
export async function* mapAsync<A, B>(
  source: AsyncIterable<A>,
  fn: (item: A) => B,
): AsyncIterableIterator<B> {
  for await (const item of source) yield fn(item);
}
