import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Longest path of a unix socket; Node.js cuts longer ones silently. */
export const MAX_SOCKET_PATH = 107;

/**
 * A short directory for the sockets of one home, only for this user: below XDG_RUNTIME_DIR, `/run` for root, or
 * `/tmp`. The same home has the same directory always, so that agents find the hub again.
 *
 * @throws Error when the directory belongs to somebody else.
 */
export async function makeRuntimeDir(home: string, env: NodeJS.ProcessEnv, uid: number): Promise<string> {
  const parent = await makePrivateDir(join(await baseDir(env, uid), `vm-agent-${uid}`));
  return makePrivateDir(join(parent, createHash('sha256').update(home).digest('hex').slice(0, 12)));
}

/** Makes a directory that only this user can enter. @throws Error when it is somebody else's or open to others. */
export async function makePrivateDir(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const stat = await lstat(path);
  const own = process.getuid === undefined || stat.uid === process.getuid();
  if (stat.isDirectory() && own && (stat.mode & 0o077) === 0) return path;
  throw new Error(`${path} must be a directory of this user with mode 0700`);
}

/**
 * Lets virtual machines of root, which have users of their own, connect to a socket in a runtime directory. That one is
 * closed to everybody else, and they are shown the socket's directory alone. Whoever speaks there says a secret first.
 */
export async function openToMachines(socket: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  await chmod(socket, 0o666);
  await chmod(dirname(socket), 0o711);
}

/** Removes a runtime directory with the sockets of a hub that has ended and has no machines. */
export function removeRuntimeDir(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}

async function baseDir(env: NodeJS.ProcessEnv, uid: number): Promise<string> {
  if (env.XDG_RUNTIME_DIR && env.XDG_RUNTIME_DIR.length < MAX_SOCKET_PATH / 2) return env.XDG_RUNTIME_DIR;
  const run = await lstat('/run').catch(() => undefined);
  return uid === 0 && run?.isDirectory() ? '/run' : '/tmp';
}
