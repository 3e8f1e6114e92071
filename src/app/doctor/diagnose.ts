import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '../../base/logger.js';
import type { HubConfig } from '../../config/hub-config.js';
import type { VmProvider } from '../../vm/provider.js';
import { createProviders } from '../providers.js';
import type { Check, Diagnosis } from './check.js';
import { homeChecks, nodeCheck, portChecks } from './home-checks.js';
import { providerChecks } from './provider-checks.js';
import { gitCheck, kvmCheck, toolChecks } from './tool-checks.js';

/** What {@link diagnose} looks at. */
export interface DiagnoseOptions {
  readonly config: HubConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** Default: those of a hub with this configuration. */
  readonly providers?: readonly VmProvider[];
}

/**
 * Looks at this host: what a hub needs, what is there, and what mends the rest. It changes nothing, but keeps what it
 * found out about acceleration in a home that is there.
 */
export async function diagnose(options: DiagnoseOptions): Promise<Diagnosis> {
  const { config, env, signal } = options;
  const providers = options.providers ?? (await providersToLookAt(config));
  const [ports, home, machines, git, tools, kvm] = await Promise.all([
    portChecks(config),
    homeChecks(config.home),
    providerChecks(providers, signal),
    gitCheck(env),
    toolChecks(env),
    kvmCheck(),
  ]);
  const none: readonly Check[] = machines.works ? [] : [noProvider];
  const checks = [
    nodeCheck(process.versions.node),
    ...ports,
    ...home,
    ...none,
    ...machines.checks.filter((check) => check.group === 'machines'),
    git,
    ...machines.checks.filter((check) => check.group !== 'machines'),
    kvm,
    ...tools,
  ];
  return { works: checks.every((check) => check.status !== 'bad'), checks };
}

/** They start no machine here, so that the places of sockets do not matter. */
async function providersToLookAt({ home }: HubConfig): Promise<readonly VmProvider[]> {
  if (existsSync(home.root)) await mkdir(home.qemuDir, { recursive: true, mode: 0o700 }).catch(() => {});
  const doorSocket = join(home.root, 'door', 'hub.sock');
  return createProviders({ home, log: silentLogger, doorSocket, runDir: join(home.root, 'run') });
}

const noProvider: Check = {
  group: 'machines',
  name: 'providers',
  status: 'bad',
  detail: 'none works on this host, so no machine can be made',
  fix: 'mend one of those below',
};
