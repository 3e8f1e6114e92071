import type { Writable } from 'node:stream';

/** Writes all of it; resolves when the stream wants more. @throws what the stream failed with. */
export function write(stream: Writable, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.write(data, (err) => err && reject(err))) resolve();
    else stream.once('drain', resolve);
  });
}
