import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** The kernel makes a new one for each reader. */
const KERNEL = '/proc/sys/kernel/random/uuid';

/**
 * A random id from the kernel, so that it differs also between two lives of a machine whose memory was restored twice
 * from one snapshot: what OpenSSL hands out is decided by its memory. Elsewhere than on Linux it is OpenSSL's.
 */
export function freshId(): string {
  try {
    return readFileSync(KERNEL, 'latin1').trim();
  } catch {
    return randomUUID({ disableEntropyCache: true });
  }
}
