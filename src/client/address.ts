import { isIP } from 'node:net';
import { HubError } from '../model/hub-error.js';

/** A hub address that was understood. */
export interface HubAddress {
  /** What grpc-js is given. */
  readonly target: string;
  readonly kind: 'tcp' | 'unix' | 'dns' | 'xds';
  /** True when the hub can only be on this machine. */
  readonly local: boolean;
}

/** Longer paths of unix sockets are cut without a word by Node.js 20. */
const MAX_UNIX_PATH_BYTES = 107;
const ALLOWED = 'must be HOST:PORT, unix:/path, dns:///NAME:PORT or xds:///NAME';

/**
 * Understands where a hub is.
 *
 * @throws HubError INVALID_FIELD naming `hub`.
 */
export function parseAddress(text: string): HubAddress {
  if (text.startsWith('unix:')) return unixAddress(text);
  if (text.startsWith('dns:')) return { target: text, kind: 'dns', local: false };
  if (text.startsWith('xds:')) return { target: text, kind: 'xds', local: false };
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/.exec(text);
  const [, host = '', port = ''] = match ?? [];
  if (!match || Number(port) < 1 || Number(port) > 65535) throw invalid(text);
  return { target: text, kind: 'tcp', local: isLoopback(host.replace(/^\[|\]$/g, '')) };
}

function unixAddress(text: string): HubAddress {
  const path = text.replace(/^unix:(\/\/(?=\/))?/, '');
  if (path === '') throw invalid(text);
  if (Buffer.byteLength(path) > MAX_UNIX_PATH_BYTES) {
    throw HubError.invalid({
      field: 'hub',
      description: `a socket path has at most ${MAX_UNIX_PATH_BYTES} bytes`,
    });
  }
  return { target: text, kind: 'unix', local: true };
}

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  return isIP(host) === 4 ? host.startsWith('127.') : host === '::1';
}

function invalid(text: string): HubError {
  return HubError.invalid({ field: 'hub', description: `${ALLOWED}, not ${JSON.stringify(text)}` });
}
