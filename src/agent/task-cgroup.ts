import { access, constants, mkdir, readFile, writeFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import type { KillScope } from './kill-scope.js';

/**
 * Not below the unit of the agent: a unit whose cgroup has controllers for what is in it cannot be started again while
 * something is.
 */
const CGROUPS = '/sys/fs/cgroup';
const NAME = 'vm-agent-tasks';
const MIB = 1024 * 1024;
/** Memory that tasks leave to the agent, its keeper and the system, so that these go on when a task wants it all. */
const RESERVED_BYTES = 256 * MIB;

/**
 * The kill scope of an agent that is root in a machine of its own: a cgroup for each task, below one with the memory
 * that they may have together. It counts memory and costs fewer processes than a namespace. Undefined where the agent
 * may not make cgroups (none of version 2, not root, a container).
 */
export async function taskCgroup(log: Logger, cgroups = CGROUPS): Promise<KillScope | undefined> {
  const root = join(cgroups, NAME);
  const scope: KillScope = { name: 'cgroup', root, startMs: 0 };
  try {
    const controllers = await readFile(join(cgroups, 'cgroup.controllers'), 'utf8');
    await mkdir(root, { recursive: true });
    await access(join(root, 'cgroup.kill'), constants.W_OK);
    if (!controllers.split(/\s+/).includes('memory')) return scope;
    await writeFile(join(cgroups, 'cgroup.subtree_control'), '+memory');
    await writeFile(join(root, 'cgroup.subtree_control'), '+memory');
    await writeFile(join(root, 'memory.max'), String(taskMemory(totalmem())));
    return scope;
  } catch (err) {
    log.info('tasks have no cgroup of their own', { cause: messageOf(err) });
    return undefined;
  }
}

/** Memory for all tasks of a machine with so much memory, in bytes. */
export function taskMemory(totalBytes: number): number {
  return Math.floor(totalBytes - Math.min(RESERVED_BYTES, totalBytes / 4));
}
