import { messageOf } from '../src/base/errno.js';
import { createProgramContext } from './program-context.js';
import { runCli } from './run-cli.js';

const context = createProgramContext(process);
const args = process.argv.slice(2);
try {
  context.finish(await runCli(args, context));
} catch (err) {
  const trace = args.includes('--debug') && err instanceof Error ? `\n${err.stack}` : '';
  context.stderr.write(`error: ${messageOf(err)}${trace}\n`);
  context.finish(1);
}
