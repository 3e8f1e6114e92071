import { join } from 'node:path';
import packageJson from '../../package.json' with { type: 'json' };
import { Keeper } from '../agent/keeper/keeper.js';
import { systemClock } from '../base/clock.js';
import { createJsonLogger } from '../base/logger.js';
import { LogFile } from './log-file.js';

const LOG_BYTES = 1024 * 1024;

/** Runs a keeper until it has nothing to keep. Answers the exit code; 1 when the directory has a keeper already. */
export async function serveKeeper(stateDir: string): Promise<number> {
  const file = new LogFile(join(stateDir, 'keeper.log'), LOG_BYTES);
  const log = createJsonLogger((line) => file.write(line), { level: 'info' });
  process.chdir(stateDir);
  const keeper = await Keeper.start({ stateDir, version: packageJson.version, clock: systemClock, log });
  if (keeper === undefined) return 1;
  log.info('keeper started', { process: process.pid });
  // What is meant for the agent is not for the keeper.
  for (const signal of ['SIGHUP', 'SIGINT'] as const) process.on(signal, () => {});
  process.on('SIGTERM', () => void keeper.stop());
  await keeper.ended;
  log.info('keeper ended');
  return 0;
}
