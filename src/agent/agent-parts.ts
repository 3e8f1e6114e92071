import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentOptions } from './agent-options.js';
import { AttemptRunner } from './attempt-runner.js';
import { AttemptStore } from './attempt-store.js';
import type { Journal } from './journal.js';
import { launchKeeperHere } from './keeper/keeper.js';
import { KeeperClient } from './keeper/keeper-client.js';
import { Outbox } from './outbox.js';
import { OutputQueue } from './output-queue.js';
import { Shells } from './shells.js';

/** What an agent is made of, besides its journal. */
export interface AgentParts {
  readonly runner: AttemptRunner;
  readonly shells: Shells;
  readonly keeper: KeeperClient;
  readonly outbox: Outbox;
  readonly output: OutputQueue;
}

/** Makes the parts, with everything on disk recovered and what an earlier agent left running taken over. */
export async function createParts(options: AgentOptions, journal: Journal): Promise<AgentParts> {
  const { config, clock, log, scope, baseEnv, user } = options;
  const spoolDir = join(config.stateDir, 'spool');
  await mkdir(spoolDir, { recursive: true, mode: 0o700 });
  const [outbox, output] = [new Outbox(), new OutputQueue()];
  const keeper = createKeeper(options, journal, output);
  try {
    const store = new AttemptStore({ spoolDir, journal, output, keeper, scope, clock, log });
    const running = await store.recover();
    const runner = new AttemptRunner({ journal, store, outbox, output, keeper, clock, log });
    // Not by those who record: they hear of it one after the other, and the hub takes an acknowledged report for the
    // last of a row.
    journal.recorded = (report) => runner.tell(report);
    for (const one of running) runner.takeOver(one);
    const { home } = config;
    const whose = user === undefined ? {} : { user };
    const shells = new Shells({ home, baseEnv, ...whose, markPrefix: `${journal.id}/`, outbox, log });
    return { runner, shells, keeper, outbox, output };
  } catch (err) {
    await keeper.close(false);
    throw err;
  }
}

function createKeeper(options: AgentOptions, journal: Journal, output: OutputQueue): KeeperClient {
  const { config, version, scope, baseEnv, uid, user, node, clock, log } = options;
  const { stateDir, home, allowSudo } = config;
  const { launchKeeper = () => launchKeeperHere({ stateDir, version, clock, log }) } = options;
  const spoolLimits = options.spoolLimits ?? {};
  const whose = user === undefined ? {} : { user };
  const settings = { home, baseEnv, uid, ...whose, allowSudo, node, scope, spoolLimits };
  return new KeeperClient({
    stateDir,
    version,
    hello: { journalId: journal.id, former: journal.former, settings },
    launch: () => launchKeeper(stateDir),
    onOutput: (id, end) => output.extend(id, end),
    clock,
    log,
  });
}
