import { crc32 } from 'node:zlib';
import { HubError } from '../../model/hub-error.js';

/** Hexadecimal digits of the checksum behind the text. */
const SEAL = 8;

/** A value as JSON with a checksum behind it: SQLite has none of its own for what stands in its pages. */
export function sealed(value: unknown): string {
  const text = JSON.stringify(value);
  return text + sealOf(text);
}

/**
 * The value of {@link sealed}. What was stored before there were checksums ends as JSON does, and is taken as it is.
 *
 * @throws HubError STORE_CORRUPT when the text is not what was stored.
 */
export function unsealed<T>(stored: string): T {
  const old = stored.endsWith('}') || stored.endsWith(']');
  const text = old ? stored : stored.slice(0, -SEAL);
  if (!old && sealOf(text) !== stored.slice(-SEAL)) throw damagedRecord();
  try {
    return JSON.parse(text) as T;
  } catch {
    throw damagedRecord();
  }
}

function sealOf(text: string): string {
  return crc32(text).toString(16).padStart(SEAL, '0');
}

/** What a caller is told when a record is not what was stored. */
export function damagedRecord(): HubError {
  const message =
    'a record in the database of the hub is damaged; stop the hub and run `vm-agent hub --recover` to sort it out';
  return new HubError('STORE_CORRUPT', message);
}
