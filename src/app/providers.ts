import { join } from 'node:path';
import type { Logger } from '../base/logger.js';
import { packageRoot } from '../base/package-root.js';
import type { HomePaths } from '../config/home.js';
import { ensureRuntimeDisk } from '../vm/guest/runtime-disk.js';
import { ImageStore } from '../vm/images/image-store.js';
import { ProfileStore } from '../vm/profiles/profile-store.js';
import type { VmProvider } from '../vm/provider.js';
import { createLocalProvider } from '../vm/providers/local/local-provider.js';
import { createQemuProvider } from '../vm/providers/qemu/qemu-provider.js';

/** What {@link createProviders} is told. */
export interface ProvidersOptions {
  readonly home: HomePaths;
  readonly log: Logger;
  /** Unix socket of the agent door: the only one that guests reach. */
  readonly doorSocket: string;
  /** Short directory for the sockets of virtual machines. */
  readonly runDir: string;
}

/** A provider that may have something to end with its hub. */
export type HubProvider = VmProvider & { close?(): void };

/** The bundled program that runs inside machines. */
const agentProgram = () => join(packageRoot(), 'dist', 'agent', 'agent.mjs');

/** The providers that a hub has; `vm-agent doctor` looks at the same ones. */
export function createProviders(options: ProvidersOptions): readonly HubProvider[] {
  const { home, log } = options;
  const program = { agentProgram: agentProgram(), nodePath: process.execPath };
  const local = createLocalProvider({ machinesDir: home.machinesDir, ...program, log });
  return [virtualMachines(options), local];
}

function virtualMachines({ home, log, doorSocket, runDir }: ProvidersOptions): HubProvider {
  const disk = { dir: home.runtimeDisksDir, agentProgram: agentProgram(), nodePath: process.execPath };
  const uid = process.getuid?.();
  return createQemuProvider({
    dir: home.qemuDir,
    runDir,
    doorSocket,
    images: new ImageStore(home.imagesDir),
    runtimeDisk: async (signal) => (await ensureRuntimeDisk(disk, signal)).path,
    ...(uid === undefined ? {} : { uid }),
    log,
  });
}

/** What machines can be furnished with: profiles that come with the package, and the user's own. */
export function createProfiles(home: HomePaths): ProfileStore {
  const builtInDir = join(packageRoot(), 'src', 'vm', 'profiles', 'builtin');
  return new ProfileStore({ builtInDir, userDir: home.profilesDir });
}
