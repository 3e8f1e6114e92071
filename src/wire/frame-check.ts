import { LogRecord_Stream } from '../../gen/vmagent/v1/log.js';
import { HubError } from '../model/hub-error.js';
import type { OutputStream } from '../model/output.js';

/** A frame that breaks the agent protocol; the message names the field. */
export function protocolError(message: string): HubError {
  return new HubError('PROTOCOL_ERROR', message);
}

/** A stream as the enum of the contract. */
export function outputStreamToProto(stream: OutputStream): LogRecord_Stream {
  return LogRecord_Stream[stream];
}

/**
 * A stream from the enum of the contract.
 *
 * @throws HubError PROTOCOL_ERROR for anything but STDOUT and STDERR.
 */
export function outputStreamFromProto(stream: LogRecord_Stream): OutputStream {
  if (stream === LogRecord_Stream.STDOUT) return 'STDOUT';
  if (stream === LogRecord_Stream.STDERR) return 'STDERR';
  throw protocolError('stream must be STDOUT or STDERR');
}

/** Bytes without a copy, as a Buffer. */
export function asBuffer(data: Uint8Array): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
