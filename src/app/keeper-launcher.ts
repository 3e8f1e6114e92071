import { once } from 'node:events';
import { start } from '../base/process.js';

/**
 * Starts keepers with this program, in a session of their own, so that neither a signal to the agent's terminal nor
 * the agent's end reaches them. They inherit nothing but the environment of tasks.
 */
export function keeperLauncher(env: Readonly<Record<string, string>>): (stateDir: string) => Promise<void> {
  const program = process.argv[1] ?? '';
  // From sources it needs the same loader.
  const flags = program.endsWith('.ts') ? process.execArgv : [];
  return async (stateDir) => {
    const args = [...flags, program, '--keeper', stateDir];
    const child = start(process.execPath, args, { env, detached: true, stdio: 'ignore' });
    child.unref();
    await once(child, 'spawn');
  };
}
