import { mkdir } from 'node:fs/promises';
import { isLock, type LockFile, takeLock } from '../base/lock-file.js';
import type { HomePaths } from '../config/home.js';
import { HubError } from '../model/hub-error.js';

/** Makes the directories of a home, readable by this user only. The home itself may be shared with other things. */
export async function makeHome(home: HomePaths): Promise<void> {
  await mkdir(home.root, { recursive: true });
  for (const dir of [
    home.dataDir,
    home.outputDir,
    home.logsDir,
    home.imagesDir,
    home.machinesDir,
    home.qemuDir,
  ]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  }
}

/** Takes the home for this hub. @throws HubError HOME_LOCKED naming the process that has it. */
export async function lockHome(home: HomePaths): Promise<LockFile> {
  const lock = await takeLock(home.lockFile);
  if (isLock(lock)) return lock;
  const message = `another hub (pid ${lock.pid}) runs on ${home.root}; stop it with "vm-agent down" or use another VM_AGENT_HOME`;
  throw new HubError('HOME_LOCKED', message, { metadata: { pid: String(lock.pid), home: home.root } });
}
