import type { CommandSpec, ScriptSpec } from '../../model/task.js';
import type { Ending, ExecutorContext } from './executor.js';
import { runArgv } from './run-argv.js';
import { withTempFile } from './temp-file.js';

/** Runs `exec`, `build`, `test` and `deploy`. */
export function runCommand(ctx: ExecutorContext, spec: CommandSpec): Promise<Ending> {
  const argv = 'argv' in spec.run ? spec.run.argv : ['/bin/sh', '-c', spec.run.command];
  return runArgv(ctx, spec, argv);
}

/** Runs `script`: JavaScript in a Node.js process of its own, from a private file. */
export function runScript(ctx: ExecutorContext, spec: ScriptSpec): Promise<Ending> {
  return withTempFile(ctx, { suffix: '.cjs', content: spec.script, mode: 0o600 }, (file) =>
    runArgv(ctx, spec, [ctx.node, file, ...spec.args]),
  );
}
