import { join } from 'node:path';
import type { Logger } from '../base/logger.js';
import { packageRoot } from '../base/package-root.js';
import type { HomePaths } from '../config/home.js';
import type { HubConfig } from '../config/hub-config.js';
import { ProfileStore } from '../vm/profiles/profile-store.js';
import type { VmProvider } from '../vm/provider.js';
import { createLocalProvider } from '../vm/providers/local/local-provider.js';

/** The bundled program that runs inside machines. */
export function agentProgram(): string {
  return join(packageRoot(), 'dist', 'agent', 'agent.mjs');
}

/** The providers that a hub with this configuration has; `vm-agent doctor` looks at the same ones. */
export function createProviders({ home }: HubConfig, log: Logger): readonly VmProvider[] {
  const local = createLocalProvider({
    machinesDir: home.machinesDir,
    agentProgram: agentProgram(),
    nodePath: process.execPath,
    log,
  });
  return [local];
}

/** What machines can be furnished with: profiles that come with the package, and the user's own. */
export function createProfiles(home: HomePaths): ProfileStore {
  const builtInDir = join(packageRoot(), 'src', 'vm', 'profiles', 'builtin');
  return new ProfileStore({ builtInDir, userDir: home.profilesDir });
}
