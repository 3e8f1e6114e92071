import { assertNever } from '../../model/assert-never.js';
import type { TaskSpec } from '../../model/task.js';
import { runCommand, runScript } from './command.js';
import { type Ending, type ExecutorContext, TaskFailure } from './executor.js';
import { runFileRead, runFileWrite } from './file.js';
import { runGitClone, runGitPull, runGitPush } from './git.js';

/** Runs one attempt to its end. It never throws: whatever goes wrong is the attempt's ending. */
export async function execute(ctx: ExecutorContext, spec: TaskSpec): Promise<Ending> {
  try {
    return await executorOf(ctx, spec);
  } catch (err) {
    if (err instanceof TaskFailure) return err.ending;
    ctx.log.error('an attempt could not be run', { error: err });
    const message = err instanceof Error ? err.message : String(err);
    return { state: 'FAILED', reason: 'INTERNAL', message };
  }
}

function executorOf(ctx: ExecutorContext, spec: TaskSpec): Promise<Ending> {
  switch (spec.type) {
    case 'exec':
    case 'build':
    case 'test':
    case 'deploy':
      return runCommand(ctx, spec);
    case 'script':
      return runScript(ctx, spec);
    case 'git:clone':
      return runGitClone(ctx, spec);
    case 'git:pull':
      return runGitPull(ctx, spec);
    case 'git:push':
      return runGitPush(ctx, spec);
    case 'file:read':
      return runFileRead(ctx, spec);
    case 'file:write':
      return runFileWrite(ctx, spec);
    default:
      return assertNever(spec);
  }
}
