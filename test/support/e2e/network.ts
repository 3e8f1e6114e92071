import { runCommand, startCommand } from './command.js';
import { areFree } from './free-ports.js';

/** A place where the usual ports are free. */
export interface Network {
  /** The command line that runs a program there. */
  enter(...command: readonly [string, ...string[]]): [string, ...string[]];
  close(): Promise<void>;
}

const USUAL_PORTS = [9090, 9091, 9092, 9418];

/**
 * A network namespace of its own, with loopback up, where this user may make one; else this host's network when the
 * usual ports are free; undefined when they are taken.
 */
export async function networkWithUsualPorts(): Promise<Network | undefined> {
  return (await ownNetwork()) ?? ((await areFree(USUAL_PORTS)) ? hostNetwork : undefined);
}

const hostNetwork: Network = {
  enter: (...command) => [...command],
  close: async () => undefined,
};

async function ownNetwork(): Promise<Network | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const tried = await runCommand('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']).catch(
    () => undefined,
  );
  if (tried?.exitCode !== 0) return undefined;
  const keeper = 'ip link set lo up && echo ready && exec sleep 3600';
  const holder = startCommand('unshare', ['--net', 'sh', '-c', keeper]);
  await holder.printed(/ready/);
  const { pid } = holder.child;
  return {
    enter: (...command) => ['nsenter', `--target=${pid}`, '--net', ...command],
    close: async () => {
      holder.child.kill('SIGKILL');
      await holder.ended();
    },
  };
}
