import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { isErrno, messageOf } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';
import { holdBody } from './linger.js';
import { attachUpgrades, type Upgraded, type Upgrades } from './upgrades.js';

/** Options of {@link listenHttp}. */
export interface HttpServerOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Most time for the headers of a request in milliseconds. Default 10000. */
  readonly headersTimeoutMs?: number;
  /** Most time for a whole request, body included, in milliseconds. Default 30000. */
  readonly requestTimeoutMs?: number;
  /** Takes connections that leave HTTP. Default: nobody does, and requests for it are answered as any other. */
  readonly upgrades?: Upgrades | undefined;
  /** Largest head of a request in bytes. Default 16 KiB. */
  readonly maxHeaderSize?: number;
  /** Serve HTTPS. */
  readonly tls?: HttpTls;
}

/** What HTTPS is served with, in PEM. */
export interface HttpTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Lets in only clients with a certificate of these authorities. */
  readonly clientCa?: Buffer;
}

/** A listening HTTP server. */
export interface HttpServer {
  readonly host: string;
  readonly port: number;
  /** Takes no more requests, waits up to `graceMs` (default 1000) for those in hand, then cuts them. */
  close(graceMs?: number): Promise<void>;
}

/** Serves HTTP/1.1. @throws ADDRESS_IN_USE. */
export function listenHttp(listener: RequestListener, options: HttpServerOptions): Promise<HttpServer> {
  const { host, port, headersTimeoutMs = 10_000, requestTimeoutMs = 30_000, maxHeaderSize, tls } = options;
  const settings = {
    ...(maxHeaderSize === undefined ? {} : { maxHeaderSize }),
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, headersTimeoutMs / 2),
  };
  const server = tls === undefined ? createServer(settings, listener) : createSecure(tls, settings, listener);
  server.on('clientError', answerClientError);
  server.on('checkContinue', (req, res) => {
    holdBody(req, res);
    listener(req, res);
  });
  const upgraded = options.upgrades === undefined ? undefined : attachUpgrades(server, options.upgrades);
  return new Promise((resolve, reject) => {
    // It stays for the server's life: a connection that cannot be accepted must not end the hub.
    server.on('error', (err) => reject(listenError(err, `${host}:${port}`)));
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      resolve({
        host: address.address,
        port: address.port,
        close: (graceMs = 1000) => closeServer(server, upgraded, graceMs),
      });
    });
  });
}

/** @throws HubError INVALID_FIELD for certificates or keys that cannot be used. */
function createSecure({ cert, key, clientCa }: HttpTls, settings: ServerOptions, listener: RequestListener) {
  const clients = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  try {
    return createTlsServer({ ...settings, cert, key, ...clients }, listener);
  } catch (err) {
    const description = `the certificate or its key cannot be used: ${messageOf(err)}`;
    throw HubError.invalid({ field: 'tls', description });
  }
}

function listenError(err: Error, address: string): Error {
  if (!isErrno(err, 'EADDRINUSE')) return err;
  return new HubError('ADDRESS_IN_USE', `${address} is in use by another program`, {
    metadata: { address },
    cause: err,
  });
}

function closeServer(server: Server, upgraded: Upgraded | undefined, graceMs: number): Promise<void> {
  const cut = setTimeout(() => {
    server.closeAllConnections();
    upgraded?.cut();
  }, graceMs);
  upgraded?.close();
  return new Promise((resolve) => {
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Answers what Node's parser refused, in the same JSON form as every other error. */
function answerClientError(err: Error, socket: Duplex): void {
  if (isErrno(err, 'ECONNRESET') || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code, message] = CLIENT_ERRORS[(err as NodeJS.ErrnoException).code ?? ''] ?? BAD_REQUEST;
  const body = JSON.stringify({ code, message, details: [] });
  const head = [
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(`HTTP/1.1 ${status}\r\n${head.join('\r\n')}\r\n\r\n${body}`);
}

type ClientErrorRow = readonly [status: string, code: number, message: string];

const BAD_REQUEST: ClientErrorRow = ['400 Bad Request', 3, 'the request is not valid HTTP'];

const CLIENT_ERRORS: Readonly<Record<string, ClientErrorRow>> = {
  HPE_INVALID_METHOD: ['501 Not Implemented', 12, 'Method Not Allowed'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 3, 'the headers are larger than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 4, 'the request took too long to arrive'],
};
