import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { isErrno, messageOf } from '../base/errno.js';
import { HubError } from '../model/hub-error.js';
import { answerClientErrors, answerRow, refusalOf } from './client-errors.js';
import { holdBody } from './linger.js';
import { attachUpgrades, type Upgraded, type Upgrades } from './upgrades.js';
import { WaitingAnswers } from './waiting-answers.js';

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
  /** Connections that may be open. Default 10000. */
  readonly maxConnections?: number;
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
    // Not even when the environment asks for it: what two servers read differently smuggles requests.
    insecureHTTPParser: false,
    // Node's own refusal has no body.
    requireHostHeader: false,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.min(1000, headersTimeoutMs / 2),
    // Whoever vanishes from the network while nothing is said is found out by the system.
    ...{ keepAlive: true, keepAliveInitialDelay: 60_000 },
  };
  const waiting = new WaitingAnswers();
  const take: RequestListener = (req, res) => {
    if (!waiting.add(res)) return;
    const refusal = refusalOf(req);
    if (refusal === undefined) listener(req, res);
    else answerRow(res, refusal);
  };
  const server = tls === undefined ? createServer(settings, take) : createSecure(tls, settings, take);
  server.on('checkContinue', (req, res) => {
    holdBody(req, res);
    take(req, res);
  });
  answerClientErrors(server, waiting);
  server.maxConnections = options.maxConnections ?? 10_000;
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
    const handshakeTimeout = settings.headersTimeout;
    return createTlsServer({ ...settings, handshakeTimeout, cert, key, ...clients }, listener);
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
