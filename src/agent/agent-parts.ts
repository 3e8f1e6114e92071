import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentOptions } from './agent-options.js';
import { AttemptRunner } from './attempt-runner.js';
import { AttemptStore } from './attempt-store.js';
import type { Journal } from './journal.js';
import { Outbox } from './outbox.js';
import { OutputQueue } from './output-queue.js';
import { PipePool } from './pipe-pool.js';
import { Shells } from './shells.js';
import { TreeSet } from './tree-set.js';

/** What an agent is made of, besides its journal. */
export interface AgentParts {
  readonly runner: AttemptRunner;
  readonly shells: Shells;
  readonly trees: TreeSet;
  readonly pipes: PipePool;
  readonly outbox: Outbox;
  readonly output: OutputQueue;
}

/** Makes the parts, with everything on disk recovered. */
export async function createParts(options: AgentOptions, journal: Journal): Promise<AgentParts> {
  const { config, clock, log, scope } = options;
  const { stateDir, home } = config;
  const [outbox, output, trees] = [new Outbox(), new OutputQueue(), new TreeSet(clock)];
  const limits = options.spoolLimits ?? {};
  const store = new AttemptStore({ spoolDir: join(stateDir, 'spool'), limits, journal, output, clock, log });
  await store.recover();
  const pipes = new PipePool(join(stateDir, 'pipes'));
  await pipes.start();
  const tempDir = await emptyDirectory(join(stateDir, 'tmp'));
  const { baseEnv, uid, node } = options;
  const executor = { home, tempDir, baseEnv, uid, allowSudo: config.allowSudo, node };
  const runner = new AttemptRunner({
    journal,
    store,
    outbox,
    output,
    pipes,
    trees,
    scope,
    clock,
    log,
    executor,
  });
  const shells = new Shells({ home, baseEnv, markPrefix: `${journal.id}/`, outbox, log });
  return { runner, shells, trees, pipes, outbox, output };
}

async function emptyDirectory(path: string): Promise<string> {
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}
