import { parseArgs } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { messageOf } from '../base/errno.js';

const EXIT_USAGE = 64;
const USAGE = 'usage: node agent.mjs [--config FILE] [--version]';

/**
 * The agent and, with `--keeper STATE_DIR`, the keeper of its tasks, which the agent starts. Each loads only what
 * it needs: the keeper nothing of the network.
 */
async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(argv);
  if (flags === undefined) return EXIT_USAGE;
  if (flags.version) {
    process.stdout.write(`${packageJson.version}\n`);
    return 0;
  }
  if (flags.keeper !== undefined) return (await import('./keeper-main.js')).serveKeeper(flags.keeper);
  return (await import('./agent-serve.js')).serveAgent(flags.config, env);
}

function readFlags(
  argv: readonly string[],
): { config?: string; keeper?: string; version?: boolean } | undefined {
  try {
    const options = {
      config: { type: 'string' },
      keeper: { type: 'string' },
      version: { type: 'boolean' },
    } as const;
    return parseArgs({ args: [...argv], options }).values;
  } catch (err) {
    process.stderr.write(`error: ${messageOf(err)}\n${USAGE}\n`);
    return undefined;
  }
}

process.exitCode = await main(process.argv.slice(2), process.env);
