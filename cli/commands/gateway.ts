import { Command, Option } from 'clipanion';
import type { GatewayOptions } from '../../src/app/gateway.js';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { UsageError } from '../usage-error.js';

/** How long requests in hand may take to end when the gateway is told to stop. */
const DRAIN_MS = 10_000;

/** Serves any gRPC server over HTTP and JSON, from its descriptors alone. */
export class GatewayCommand extends BaseCommand {
  static override paths = [['gateway']];
  static synopsis = 'gateway --descriptor-set FILE --target HOST:PORT [options]';
  static override usage = Command.Usage({
    description: 'Serve a gRPC server over HTTP and JSON, as grpc-gateway does, until SIGTERM or Ctrl-C.',
    details:
      'Routes are the google.api.http rules of the descriptors. No caller is checked here: that is for the server behind.',
    examples: [
      ['', 'buf build -o api.binpb'],
      ['', '$0 gateway --descriptor-set api.binpb --target 127.0.0.1:9000 --listen 127.0.0.1:8080'],
    ],
  });

  descriptorSet = Option.String('--descriptor-set', {
    description: '<file> FileDescriptorSet of buf build, or of protoc --include_imports',
  });
  target = Option.String('--target', {
    description: '<address> the gRPC server: HOST:PORT, unix:/PATH, dns:///NAME:PORT or xds:///NAME',
  });
  listen = Option.String('--listen', '127.0.0.1:8080', {
    description: '<host:port> where to serve (default 127.0.0.1:8080)',
  });
  tlsCert = Option.String('--tls-cert', { description: '<file> serve HTTPS with this certificate, PEM' });
  tlsKey = Option.String('--tls-key', { description: '<file> its key' });
  tlsClientCa = Option.String('--tls-client-ca', {
    description: '<file> let in only clients with a certificate of these authorities',
  });
  targetTls = Option.Boolean('--target-tls', false, { description: 'speak TLS to the target' });
  targetCa = Option.String('--target-ca', { description: '<file> authorities of the target; implies TLS' });
  targetCert = Option.String('--target-cert', { description: '<file> certificate to show to the target' });
  targetKey = Option.String('--target-key', { description: '<file> its key' });
  targetName = Option.String('--target-name', {
    description: "<name> that the target's certificate has, when it is called by another",
  });
  unescaping = Option.String('--unescaping-mode', 'legacy', {
    description: '<mode> legacy, all-except-reserved, all-except-slash or all-characters (default legacy)',
  });
  methodNotAllowed = Option.String('--method-not-allowed', '501', {
    description: '<status> of a path that has other methods: 501 or 405 (default 501)',
  });
  noMethodOverride = Option.Boolean('--no-method-override', false, {
    description: 'form posts stand for nothing but POST',
  });
  strict = Option.Boolean('--strict', false, { description: 'refuse JSON fields that are not known' });
  unboundMethods = Option.Boolean('--unbound-methods', false, {
    description: 'serve methods without a rule as POST /pkg.Service/Method',
  });
  webSockets = Option.Boolean('--websocket', false, {
    description: 'streaming routes take WebSockets, of pages only when they are its own or of --cors-origin',
  });
  openApi = Option.Boolean('--openapi', false, {
    description: 'describe the routes at /openapi.json, in OpenAPI 3.1',
  });
  corsOrigin = Option.Array('--cors-origin', [], {
    description: '<origin> let pages of this origin read answers; may be given again',
  });
  streamCursor = Option.Array('--stream-cursor', [], {
    description:
      '<pkg.Service/Method=answer.path:request.field> how a stream of server-sent events is taken up again, for protos without the option; may be given again',
  });
  bodyLimit = Option.String('--body-limit', { description: '<bytes> largest body (default 8388608)' });

  async execute(): Promise<number> {
    const { startGateway } = await import('../../src/app/gateway.js');
    const { signal, forceSignal } = this.context;
    const gateway = await startGateway(await this.options());
    const { url, routes } = gateway;
    const from = `${url}, to ${this.target}, ${routes} routes`;
    await this.print(
      this.json ? jsonLine({ url, target: this.target, routes }) : `vm-agent gateway on ${from}\n`,
    );
    await aborted(signal);
    this.note(
      'the gateway stops when what it has in hand is answered; send the signal again to stop at once',
    );
    await Promise.race([gateway.close(DRAIN_MS), aborted(forceSignal)]);
    return 0;
  }

  private async options(): Promise<GatewayOptions> {
    const [{ createJsonLogger }, { UNESCAPING_MODES }] = await Promise.all([
      import('../../src/base/logger.js'),
      import('../../src/bridge/unescaping.js'),
    ]);
    const { tlsCert, tlsKey, tlsClientCa, targetTls, targetCa, targetCert, targetKey, targetName } = this;
    const write = (line: string) => this.context.stderr.write(line);
    const { unboundMethods, strict, webSockets, openApi, bodyLimit } = this;
    return {
      ...{ tlsCert, tlsKey, tlsClientCa, targetTls, targetCa, targetCert, targetKey, targetName },
      descriptorSet: needed('--descriptor-set', this.descriptorSet),
      target: needed('--target', this.target),
      listen: this.listen,
      log: createJsonLogger(write, { level: 'warn' }).with({ component: 'gateway' }),
      unescaping: oneOf('--unescaping-mode', UNESCAPING_MODES, this.unescaping),
      methodNotAllowed:
        oneOf('--method-not-allowed', ['501', '405'], this.methodNotAllowed) === '405' ? 405 : 501,
      methodOverride: !this.noMethodOverride,
      rejectUnknownFields: strict,
      unboundMethods,
      webSockets,
      openApi,
      corsOrigins: this.corsOrigin.map(origin),
      streamCursors: this.streamCursor.map(streamCursor),
      ...(bodyLimit === undefined ? {} : { bodyLimit: bytes('--body-limit', bodyLimit) }),
    };
  }
}

function needed(option: string, value: string | undefined): string {
  if (value === undefined) throw new UsageError(`${option} is missing`);
  return value;
}

function oneOf<T extends string>(option: string, allowed: readonly T[], value: string): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new UsageError(`${option} must be one of ${allowed.join(', ')}, not '${value}'`);
  return found;
}

function bytes(option: string, value: string): number {
  const count = /^\d{1,15}$/.test(value) ? Number(value) : 0;
  if (count < 1) throw new UsageError(`${option} must be a number of bytes, at least 1, not '${value}'`);
  return count;
}

function origin(value: string): string {
  const parsed = URL.canParse(value) ? new URL(value).origin : 'null';
  if (parsed === value) return value;
  throw new UsageError(`--cors-origin must be like https://ops.example, without a path, not '${value}'`);
}

function streamCursor(value: string) {
  const [, method = '', responseField = '', requestField = ''] =
    /^([\w.]+\/\w+)=([\w.]+):([\w.]+)$/.exec(value) ?? [];
  if (method !== '') return { method, responseField, requestField };
  const form = 'pkg.Service/Method=answer.path:request.field, fields by their proto names';
  throw new UsageError(`--stream-cursor must be like ${form}, not '${value}'`);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
