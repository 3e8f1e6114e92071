import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandSpec, ScriptSpec } from '../../model/task.js';
import type { Ending, ExecutorContext } from './executor.js';
import { runArgv } from './run-argv.js';

/** Runs `exec`, `build`, `test` and `deploy`. */
export function runCommand(ctx: ExecutorContext, spec: CommandSpec): Promise<Ending> {
  const argv = 'argv' in spec.run ? spec.run.argv : ['/bin/sh', '-c', spec.run.command];
  return runArgv(ctx, spec, argv);
}

/** Runs `script`: JavaScript in a Node.js process of its own, from a private file. */
export async function runScript(ctx: ExecutorContext, spec: ScriptSpec): Promise<Ending> {
  const file = join(ctx.tempDir, `script-${randomUUID()}.cjs`);
  await writeFile(file, spec.script, { mode: 0o600, flag: 'wx' });
  try {
    return await runArgv(ctx, spec, [ctx.node, file, ...spec.args]);
  } finally {
    await rm(file, { force: true });
  }
}
