import { cpSync, mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attemptKey } from '../../../src/agent/attempt-id.js';
import { Journal } from '../../../src/agent/journal.js';
import { SpoolWriter } from '../../../src/agent/spool-writer.js';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import { emptyOutcome, type TaskOutcome } from '../../../src/model/task.js';
import { STDERR, STDOUT, TASK } from './hub-scene.js';

/** The only attempt of the conversation, and how it ends. */
export const ATTEMPT = { task: TASK, attempt: 1 } as const;
export const OUTCOME: TaskOutcome = {
  ...emptyOutcome('EXITED'),
  exitCode: 0,
  stdoutBytes: STDOUT.join('').length,
  stderrBytes: STDERR.length,
};

/** State directories of an agent: before it was handed the task, and after it ran it while nobody listened. */
export interface AgentFiles {
  readonly journalId: string;
  readonly before: string;
  readonly after: string;
}

/** Makes both under one folder, which the caller removes. */
export async function makeAgentFiles(): Promise<AgentFiles & { readonly dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'agent-'));
  const before = join(dir, 'before');
  const after = join(dir, 'after');
  mkdirSync(before, { mode: 0o700 });
  const empty = await openJournal(before);
  const journalId = empty.id;
  await empty.close();
  cpSync(before, after, { recursive: true });
  const journal = await openJournal(after);
  await journal.record({ ...ATTEMPT, state: 'RUNNING', startMs: 1000 });
  await journal.record({ ...ATTEMPT, state: 'SUCCEEDED', startMs: 1000, endMs: 2000, outcome: OUTCOME });
  await journal.close();
  const spool = new SpoolWriter(join(after, 'spool', attemptKey(ATTEMPT)));
  spool.append('STDOUT', Buffer.from(STDOUT[0]), 1100);
  spool.append('STDERR', Buffer.from(STDERR), 1200);
  spool.append('STDOUT', Buffer.from(STDOUT[1]), 1300);
  spool.close();
  return { dir, journalId, before, after };
}

function openJournal(dir: string): Promise<Journal> {
  const path = join(dir, 'journal');
  return Journal.open({ path, vmGeneration: 1, clock: systemClock, log: silentLogger });
}
