import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** What a client asks the control plane for. */
interface DiscoveryRequest {
  readonly type_url: string;
  readonly resource_names: readonly string[];
  readonly response_nonce: string;
  readonly error_detail?: { readonly message: string } | null;
}

/** A small xDS control plane: one listener whose calls go to a list of endpoints. */
export class AdsServer {
  /** Complaints of clients about what they were sent. */
  readonly rejected: string[] = [];
  private readonly server = new Server();
  private port = 0;

  constructor(
    private readonly listener: string,
    private readonly endpoints: readonly string[],
  ) {}

  /** What GRPC_XDS_BOOTSTRAP_CONFIG must hold to use this control plane. */
  get bootstrap(): string {
    return bootstrapFor(`127.0.0.1:${this.port}`);
  }

  async start(): Promise<this> {
    this.server.addService(discoveryService(), {
      StreamAggregatedResources: (call: ServerDuplexStream<DiscoveryRequest, unknown>) => this.serve(call),
      DeltaAggregatedResources: (call: ServerDuplexStream<unknown, unknown>) => call.end(),
    });
    this.port = await new Promise<number>((resolve, reject) =>
      this.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (err, port) =>
        err ? reject(err) : resolve(port),
      ),
    );
    return this;
  }

  stop(): void {
    this.server.forceShutdown();
  }

  private serve(call: ServerDuplexStream<DiscoveryRequest, unknown>): void {
    call.on('error', () => {});
    call.on('end', () => call.end());
    call.on('data', ({ type_url, resource_names, response_nonce, error_detail }: DiscoveryRequest) => {
      if (error_detail) this.rejected.push(error_detail.message);
      // A request with a nonce acknowledges an answer.
      const resources = response_nonce ? [] : this.resources(type_url, resource_names);
      if (resources.length > 0) call.write({ version_info: '1', nonce: '1', type_url, resources });
    });
  }

  /** Nothing for names that are not known, as a real control plane does. */
  private resources(typeUrl: string, names: readonly string[]): object[] {
    const known: Readonly<Record<string, object>> = {
      [this.listener]: listenerResource(this.listener),
      routes: ROUTES,
      cluster: CLUSTER,
      endpoints: endpointsResource(this.endpoints),
    };
    const found = names.map((name) => known[name]).filter((resource) => resource !== undefined);
    return found.map((resource) => ({ '@type': typeUrl, ...resource }));
  }
}

/** Settings of a client that point it to a control plane. */
export function bootstrapFor(server: string): string {
  const node = { id: 'test', locality: {} };
  return JSON.stringify({
    xds_servers: [{ server_uri: server, channel_creds: [{ type: 'insecure' }] }],
    node,
  });
}

const TYPES = 'type.googleapis.com/envoy';
const HTTP = 'extensions.filters';
const ADS = { ads: {}, resource_api_version: 'V3' };

const ROUTES = {
  name: 'routes',
  virtual_hosts: [
    { name: 'all', domains: ['*'], routes: [{ match: { prefix: '' }, route: { cluster: 'cluster' } }] },
  ],
};

const CLUSTER = {
  name: 'cluster',
  type: 'EDS',
  eds_cluster_config: { eds_config: ADS, service_name: 'endpoints' },
  lb_policy: 'ROUND_ROBIN',
};

function listenerResource(name: string): object {
  return {
    name,
    api_listener: {
      api_listener: {
        '@type': `${TYPES}.${HTTP}.network.http_connection_manager.v3.HttpConnectionManager`,
        rds: { route_config_name: 'routes', config_source: ADS },
        http_filters: [
          { name: 'router', typed_config: { '@type': `${TYPES}.${HTTP}.http.router.v3.Router` } },
        ],
      },
    },
  };
}

function endpointsResource(addresses: readonly string[]): object {
  const endpoints = addresses.map((text) => {
    const [address, port] = text.split(':');
    return { endpoint: { address: { socket_address: { address, port_value: Number(port) } } } };
  });
  // Without a weight the whole locality is ignored.
  const locality = {
    locality: { region: 'here' },
    load_balancing_weight: { value: 1 },
    lb_endpoints: endpoints,
  };
  return { cluster_name: 'endpoints', endpoints: [locality] };
}

/** The protos come with the xds package. */
function discoveryService() {
  const require = createRequire(import.meta.url);
  const deps = join(dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');
  const files = [
    'envoy/service/discovery/v3/ads.proto',
    'envoy/config/listener/v3/listener.proto',
    'envoy/config/route/v3/route.proto',
    'envoy/config/cluster/v3/cluster.proto',
    'envoy/config/endpoint/v3/endpoint.proto',
    'envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto',
    'envoy/extensions/filters/http/router/v3/router.proto',
  ];
  const includeDirs = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((dir) => join(deps, dir));
  const definition = loadSync(files, {
    keepCase: true,
    longs: String,
    enums: String,
    oneofs: true,
    includeDirs,
  });
  const service = definition['envoy.service.discovery.v3.AggregatedDiscoveryService'];
  if (!service || 'format' in service) throw new Error('the protos of the xds package have no ADS service');
  return service;
}
