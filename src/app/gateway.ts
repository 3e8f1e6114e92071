import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { Disposer } from '../base/disposer.js';
import { messageOf } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import { packageRoot } from '../base/package-root.js';
import type { Backend } from '../bridge/backend.js';
import { type Bridge, type BridgeOptions, createBridge } from '../bridge/bridge.js';
import { completeDescriptors } from '../bridge/complete-descriptors.js';
import { isOfPages, withOrigins } from '../bridge/cors.js';
import { dial } from '../bridge/dial.js';
import { healthzRoute } from '../bridge/health-routes.js';
import { listenHttp } from '../bridge/http-server.js';
import { openApiRoute } from '../bridge/openapi-route.js';
import { keepRepeatedMetadata } from '../bridge/repeated-metadata.js';
import { parseAddress as parseTargetAddress } from '../client/address.js';
import { loadXdsGrpc } from '../client/xds.js';
import { type Address, parseAddress } from '../config/address.js';
import { HubError } from '../model/hub-error.js';
import { type GatewayTlsFiles, listeningTls, readFile, targetCredentials } from './gateway-tls.js';

/** What of a bridge a gateway lets its user choose. */
const CHOICES = [
  'bodyLimit',
  'methodNotAllowed',
  'methodOverride',
  'rejectUnknownFields',
  'streamCursors',
  'unescaping',
  'unboundMethods',
] as const;

type BridgeChoices = Pick<BridgeOptions, (typeof CHOICES)[number]>;

/** Options of {@link startGateway}. */
export interface GatewayOptions extends BridgeChoices, GatewayTlsFiles {
  /** File with a serialized FileDescriptorSet. */
  readonly descriptorSet: string;
  /** The gRPC server: HOST:PORT, unix:/PATH, dns:///NAME:PORT or xds:///NAME. */
  readonly target: string;
  /** HOST:PORT; port 0 picks a free one. */
  readonly listen: string;
  /** Name that the target's certificate must have, when it is not the one it is called by. */
  readonly targetName?: string | undefined;
  /** Streaming routes take WebSockets, of pages only when they are its own or of `corsOrigins`. Default false. */
  readonly webSockets?: boolean;
  /** Serves `GET /openapi.json`, which a stock gateway does not. Default false. */
  readonly openApi?: boolean;
  /** Origins whose pages may read answers (CORS). Default none. */
  readonly corsOrigins?: readonly string[];
  readonly log: Logger;
}

/** A gateway that listens. */
export interface RunningGateway {
  readonly address: Address;
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** How many routes it serves. */
  readonly routes: number;
  /** Takes no more requests and waits up to `graceMs` for those in hand. */
  close(graceMs?: number): Promise<void>;
}

/** Largest head of a request, as of Go's net/http. */
const MAX_HEADER_BYTES = 1024 * 1024;
/** How deep the JSON of a body may be nested. */
const MAX_JSON_DEPTH = 1000;

/**
 * Starts a gateway in front of any gRPC server, from its descriptors alone. It behaves as a stock grpc-gateway and
 * holds no authority: callers are the business of the server behind it.
 *
 * @throws HubError INVALID_FIELD that names the option, ADDRESS_IN_USE.
 */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const parts = new Disposer();
  const { host, port } = listenAddress(options.listen);
  const tls = listeningTls(options);
  keepRepeatedMetadata();
  const bridge = parts.use(openBridge(options, await dialTarget(options)));
  const { corsOrigins = [] } = options;
  const upgrades = bridge.webSockets?.upgrades(async (req) => refuseForeign(req, corsOrigins));
  const settings = { host, port, upgrades, requestTimeoutMs: 0, maxHeaderSize: MAX_HEADER_BYTES };
  try {
    const server = await listenHttp(withOrigins(corsOrigins, bridge.handler), {
      ...settings,
      ...(tls === undefined ? {} : { tls }),
    });
    const address = { host: server.host, port: server.port };
    const name = address.host.includes(':') ? `[${address.host}]` : address.host;
    const close = async (graceMs = 0) => {
      await server.close(graceMs);
      await parts.close();
    };
    const url = `${tls === undefined ? 'http' : 'https'}://${name}:${address.port}`;
    return { address, url, routes: bridge.bindings.length, close };
  } catch (err) {
    await parts.close();
    throw err;
  }
}

function refuseForeign(req: IncomingMessage, origins: readonly string[]): void {
  if (isOfPages(req, origins)) return;
  const why = `WebSockets of pages at ${req.headers.origin} are not allowed; name it with --cors-origin`;
  throw new HubError('ORIGIN_NOT_ALLOWED', why);
}

/** A backend that speaks to the target. @throws HubError INVALID_FIELD naming `--target`, NOT_SUPPORTED without xds. */
async function dialTarget(options: GatewayOptions): Promise<Backend> {
  const { target, targetName: name } = options;
  checkTarget(target);
  const grpc = target.startsWith('xds:') ? await loadXdsGrpc() : { Client, Metadata, credentials };
  const channel = name === undefined ? {} : { 'grpc.ssl_target_name_override': name };
  return dial(target, targetCredentials(options, grpc.credentials), channel, grpc);
}

function checkTarget(target: string): void {
  try {
    parseTargetAddress(target);
  } catch (err) {
    const description = HubError.from(err).fields[0]?.description ?? messageOf(err);
    throw HubError.invalid({ field: '--target', description });
  }
}

function openBridge(options: GatewayOptions, backend: Backend): Bridge {
  try {
    const bridge: Bridge = createBridge({
      descriptors: readDescriptorSet(options.descriptorSet),
      backend,
      log: options.log,
      ...choicesOf(options),
      maxJsonDepth: MAX_JSON_DEPTH,
      transportHeaders: true,
      ...(options.webSockets === true ? { webSockets: {} } : {}),
      extraRoutes: [healthzRoute, ...(options.openApi === true ? [openApiRoute(() => bridge)] : [])],
    });
    return bridge;
  } catch (err) {
    backend.close();
    throw err instanceof HubError ? err : badDescriptors(messageOf(err));
  }
}

function choicesOf(options: BridgeChoices): BridgeChoices {
  const made = CHOICES.filter((name) => options[name] !== undefined);
  return Object.fromEntries(made.map((name) => [name, options[name]]));
}

/** Reads a file of descriptors and adds what it imports of Google's own protos and does not hold. */
function readDescriptorSet(file: string): Uint8Array {
  const bytes = readFile('--descriptor-set', file);
  const known = readFileSync(join(packageRoot(), 'gen', 'descriptors.binpb'));
  try {
    return completeDescriptors(bytes, known);
  } catch (err) {
    throw badDescriptors(`${file}: ${messageOf(err)}`);
  }
}

function badDescriptors(description: string): HubError {
  return HubError.invalid({ field: '--descriptor-set', description });
}

function listenAddress(text: string): Address {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  const description = `must be HOST:PORT or PORT, not ${JSON.stringify(text)}`;
  throw HubError.invalid({ field: '--listen', description });
}
