import { join } from 'node:path';
import { systemClock } from '../base/clock.js';
import { Disposer } from '../base/disposer.js';
import type { LevelSwitch, Logger } from '../base/logger.js';
import { type Address, formatAddress } from '../config/address.js';
import type { HubConfig } from '../config/hub-config.js';
import type { HubContext } from '../hub/context.js';
import { Hub } from '../hub/hub.js';
import { DEFAULT_LIMITS, type HubLimits } from '../hub/limits.js';
import { HubMetrics } from '../hub/metrics.js';
import { createAgentDoor } from '../rpc/agent-door.js';
import type { FinishedCall } from '../rpc/handlers.js';
import { createOperatorServer, type RpcServer } from '../rpc/operator-server.js';
import { CallerRule } from '../security/caller-rule.js';
import { ensureTokenFile } from '../security/token-file.js';
import { SegmentOutputLog } from '../store/output/segment-output-log.js';
import { type Recovery, recoverDatabase } from '../store/sqlite/recover-database.js';
import { SqliteStore } from '../store/sqlite/sqlite-store.js';
import { Expiry } from '../vm/expiry.js';
import type { MachineEvents } from '../vm/machine-events.js';
import type { MachineUse } from '../vm/machine-use.js';
import type { VmProvider } from '../vm/provider.js';
import { Vitals } from '../vm/vitals.js';
import { VmManager } from '../vm/vm-manager.js';
import { lockHome } from './home-dirs.js';
import { openHttpDoors } from './http-doors.js';
import { createProfiles, createProviders } from './providers.js';
import { makeRuntimeDir, openToMachines, removeRuntimeDir } from './runtime-dir.js';
import { packageVersion } from './version.js';

/** What a hub is made of. */
export interface HubSetup {
  readonly config: HubConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  readonly levels: LevelSwitch;
  /** Limits that differ from the defaults. */
  readonly limits?: Partial<HubLimits>;
  /** Given when a damaged database is to be recovered first; told what was done. */
  readonly recovered?: (report: Recovery) => void;
}

/** A hub that serves. */
export interface RunningHub {
  /** Where it listens. */
  readonly addresses: {
    readonly grpc: Address;
    readonly http: Address;
    readonly dashboard: Address;
    /** `unix:/path` or `host:port`. */
    readonly door: string;
  };
  /** Stops taking calls, tells agents to come back, stores what is pending. Idempotent. */
  close(): Promise<void>;
}

/** How long calls in hand may take when the hub stops. */
const GRACE_MS = 2_000;

/**
 * Makes a hub from its configuration and starts it. The home's directories must exist.
 *
 * @throws HubError HOME_LOCKED, ADDRESS_IN_USE, STORE_CORRUPT, SCHEMA_TOO_NEW; then nothing is left running.
 */
export async function createHub(setup: HubSetup): Promise<RunningHub> {
  const parts = new Disposer();
  try {
    const addresses = await startParts(setup, parts);
    return { addresses, close: () => parts.close() };
  } catch (err) {
    await parts.close();
    throw err;
  }
}

async function startParts(setup: HubSetup, parts: Disposer): Promise<RunningHub['addresses']> {
  const { config, env, log } = setup;
  const { home } = config;
  parts.use(await lockHome(home));
  const token = await ensureTokenFile(home.tokenFile);
  const runtimeDir = await makeRuntimeDir(home.root, env, ownUid() ?? 0);
  const { ctx, store } = await openStorage(setup, parts);
  const doorSocket = join(runtimeDir, 'door', 'hub.sock');
  const doorAddress = config.door || `unix:${doorSocket}`;
  const providers = createProviders({ home, log, doorSocket, runDir: join(runtimeDir, 'vm') });
  for (const provider of providers) parts.defer(() => provider.close?.());
  const { hub, vm, expiry } = createCore(setup, ctx, { store, door: doorAddress, providers });
  // Machines that run see the directory of the door: it must stay the same one for them.
  parts.defer(() => (vm.list().length === 0 ? removeRuntimeDir(runtimeDir) : undefined));
  const rule = new CallerRule({ adminToken: token, ownUid: ownUid() });
  const observe = ({ path, code }: FinishedCall) => ctx.metrics.callEnded(path.slice(1), code);
  const door = usingServer(parts, createAgentDoor({ hub, log, observe }));
  const operators = usingServer(parts, createOperatorServer({ hub, vm, rule, log, observe }));
  parts.defer(() => hub.close());
  await hub.start();
  await door.listen(`unix:${doorSocket}`);
  await openToMachines(doorSocket);
  if (config.door) await door.listen(config.door);
  parts.use(vm);
  await vm.recover();
  await hub.recover();
  parts.use(expiry).start();
  parts.use(new Vitals({ machines: vm, clock: ctx.clock, log })).start();
  const grpc = { ...config.grpc, port: await operators.listen(formatAddress(config.grpc)) };
  const backend = operators.inProcess;
  const http = await openHttpDoors({ config, backend, rule, log, metrics: () => hub.admin.metrics() });
  parts.use(http);
  return { grpc, http: http.http, dashboard: http.dashboard, door: doorAddress };
}

async function openStorage({ config, log, limits, recovered }: HubSetup, parts: Disposer) {
  if (recovered) recovered(await recoverDatabase(config.home.database, systemClock.now()));
  const store = parts.use(new SqliteStore({ path: config.home.database, log }));
  await store.open();
  const output = parts.use(
    new SegmentOutputLog({ dir: config.home.outputDir, index: store.outputIndex, log }),
  );
  await output.open();
  const metrics = new HubMetrics(packageVersion());
  const ctx: HubContext = {
    store,
    output,
    clock: systemClock,
    log,
    metrics,
    limits: { ...DEFAULT_LIMITS, ...limits },
  };
  return { ctx, store };
}

interface CoreParts {
  readonly store: SqliteStore;
  readonly door: string;
  readonly providers: readonly VmProvider[];
}

/** The hub and the VM manager know each other by ports only; here the two are joined. */
function createCore(
  { config, levels, log }: HubSetup,
  ctx: HubContext,
  { store, door, providers }: CoreParts,
) {
  const events: MachineEvents = {
    changed: (vm, stage) => hub.machineChanged(vm, stage),
    fence: (name, reason, vmGeneration) => hub.fence(name, reason, vmGeneration),
    freeze: (name, signal) => hub.freeze(name, signal),
    online: (name, vmGeneration, signal) => hub.online(name, vmGeneration, signal),
  };
  const profiles = createProfiles(config.home);
  const vm = new VmManager({
    providers,
    provider: config.provider,
    records: store.vms,
    events,
    door: () => door,
    clock: ctx.clock,
    log,
    profiles: () => profiles.list(),
  });
  const hub = new Hub({ ctx, machines: vm, levels, version: packageVersion(), door, profiles });
  const use: MachineUse = {
    busy: (agents) => hub.busy(agents),
    remove: (agent, signal) => hub.agents.remove(agent, true, signal),
    expiring: (agent, cause, message) => hub.expiring(agent, cause, message),
  };
  return { hub, vm, expiry: new Expiry({ machines: vm, use, clock: ctx.clock, log }) };
}

function usingServer<T extends RpcServer>(parts: Disposer, server: T): T {
  parts.defer(() => server.close({ graceMs: GRACE_MS }));
  return server;
}

function ownUid(): number | undefined {
  return process.getuid?.();
}
