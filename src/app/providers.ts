import { join } from 'node:path';
import type { Logger } from '../base/logger.js';
import { packageRoot } from '../base/package-root.js';
import type { HomePaths } from '../config/home.js';
import { ensureRuntimeDisk, type RuntimeDiskOptions } from '../vm/guest/runtime-disk.js';
import { removeUnusedDisks } from '../vm/guest/unused-runtime-disks.js';
import { ImageStore } from '../vm/images/image-store.js';
import { ProfileStore } from '../vm/profiles/profile-store.js';
import type { VmProvider } from '../vm/provider.js';
import { createLocalProvider } from '../vm/providers/local/local-provider.js';
import { runtimeDiskUses } from '../vm/providers/qemu/image-uses.js';
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
    runtimeDisk: (signal) => runtimeDisk(disk, home.qemuDir, signal),
    ...(uid === undefined ? {} : { uid }),
    log,
  });
}

/** The disk of this version; a new one takes the place of those that nobody uses. */
async function runtimeDisk(options: RuntimeDiskOptions, qemuDir: string, signal: AbortSignal) {
  const { path, made } = await ensureRuntimeDisk(options, signal);
  if (made) await removeUnusedDisks(options.dir, new Set([path, ...(await runtimeDiskUses(qemuDir))]));
  return path;
}

/** What machines can be furnished with: profiles that come with the package, and the user's own. */
export function createProfiles(home: HomePaths): ProfileStore {
  const builtInDir = join(packageRoot(), 'src', 'vm', 'profiles', 'builtin');
  return new ProfileStore({ builtInDir, userDir: home.profilesDir });
}
