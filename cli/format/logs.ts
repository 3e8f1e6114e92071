import type { LogRecord } from '../../src/client/index.js';

/** One record of output as it is shown: bytes for a stream, with the time before each line when asked for. */
export function logLine(record: LogRecord, timestamps: boolean): Buffer {
  const body = record.data.length > 0 ? record.data : Buffer.from(record.text);
  const stamp = timestamps ? Buffer.from(`${timeOf(record)} `) : Buffer.alloc(0);
  return Buffer.concat([stamp, body, Buffer.from('\n')]);
}

function timeOf({ time }: LogRecord): string {
  return time ? new Date(time.seconds * 1000 + time.nanos / 1e6).toISOString() : '-';
}
