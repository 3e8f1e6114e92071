import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { isErrno } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';
import { isLoopbackAddress } from '../security/connection.js';

/** A longer path is silently cut by Node 20. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Where a door listens. */
export type ListenAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/**
 * Reads `HOST:PORT`, `[IPv6]:PORT` or `unix:/absolute/path`. `localhost` is 127.0.0.1.
 *
 * @throws HubError INVALID_FIELD naming `address`: bad form, or an address that others could reach, which would
 *   carry tokens in the clear.
 */
export function parseListenAddress(address: string): ListenAddress {
  if (address.startsWith('unix:')) return { path: checkPath(address.slice('unix:'.length), address) };
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(portText);
  const host = bracketed ?? plain;
  if (host === undefined || port > 65_535)
    throw bad(address, 'HOST:PORT, [IPV6]:PORT or unix:/absolute/path');
  const real = host === 'localhost' ? '127.0.0.1' : host;
  if (!isLoopbackAddress(real))
    throw bad(
      address,
      'a loopback address such as 127.0.0.1: beyond this machine TLS is needed, which is not set up',
    );
  return { host: real, port };
}

/** Makes the directory of a unix socket private, and removes a socket that no program listens on any more. */
export async function prepareSocketPath(path: string): Promise<void> {
  const dir = dirname(path);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  if (!(await isSocket(path))) return;
  if (await answers(path)) throw addressInUse(`unix:${path}`);
  await unlink(path);
}

/** Nobody can listen there because another program does. */
export function addressInUse(address: string): HubError {
  const message = `${address} is in use by another program; stop it or choose another address`;
  return new HubError('ADDRESS_IN_USE', message, { metadata: { address } });
}

function checkPath(path: string, address: string): string {
  if (!path.startsWith('/')) throw bad(address, 'unix: and an absolute path');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES)
    throw bad(address, `a socket path of at most ${MAX_SOCKET_PATH_BYTES} bytes`);
  return path;
}

function bad(address: string, rule: string): HubError {
  return HubError.invalid({ field: 'address', description: `${JSON.stringify(address)} must be ${rule}` });
}

async function isSocket(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSocket();
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return false;
    throw err;
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
