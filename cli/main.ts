import { createProgramContext } from './program-context.js';
import { runCli } from './run-cli.js';

const context = createProgramContext(process);
const code = await runCli(process.argv.slice(2), context);
context.finish(code);
