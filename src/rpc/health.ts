import { untilAborted } from '../base/abort.js';
import { deferred } from '../base/deferred.js';
import { Wakeups } from '../base/wakeups.js';
import { HubError } from '../model/hub-error.js';
import type { CallContext } from './call-context.js';
import { bindLoaded, type Gate, type ServiceHost } from './handlers.js';
import type { LoadedService } from './loaded-definitions.js';

/** What grpc.health.v1 says of a service. */
export type ServingStatus = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

interface HealthRequest {
  readonly service: string;
}

interface HealthResponse {
  readonly status: ServingStatus;
}

/** The service grpc.health.v1.Health: all services of a server serve until it begins to close. */
export class Health {
  private serving = true;
  private readonly changes = new Wakeups();
  private readonly known: ReadonlySet<string>;

  constructor(services: readonly string[]) {
    this.known = new Set(['', ...services]);
  }

  /** Adds the service to a server. */
  addTo<Who>(server: ServiceHost, loaded: LoadedService, gate: Gate<Who>): void {
    const handlers = {
      Check: async (_ctx: CallContext<Who>, req: HealthRequest) => this.check(req.service),
      Watch: (ctx: CallContext<Who>, req: HealthRequest) => this.watch(req.service, ctx.signal),
    };
    server.addService(loaded.definition, bindLoaded(loaded.definition, handlers, gate));
  }

  /** Answers NOT_SERVING from now on. */
  stopServing(): void {
    this.serving = false;
    this.changes.notify();
  }

  private check(service: string): HealthResponse {
    const status = this.statusOf(service);
    if (status !== 'SERVICE_UNKNOWN') return { status };
    const metadata = { service: service.slice(0, 255) };
    throw new HubError('SERVICE_NOT_FOUND', 'this server has no such service', { metadata });
  }

  private async *watch(service: string, signal: AbortSignal): AsyncIterable<HealthResponse> {
    let changed = deferred();
    using _ = this.changes.listen(() => changed.resolve());
    for (let told: ServingStatus | undefined; ; ) {
      const status = this.statusOf(service);
      if (status !== told) yield { status };
      told = status;
      await untilAborted(changed.promise, signal);
      changed = deferred();
    }
  }

  private statusOf(service: string): ServingStatus {
    if (!this.known.has(service)) return 'SERVICE_UNKNOWN';
    return this.serving ? 'SERVING' : 'NOT_SERVING';
  }
}
