import { COMMANDS, commandNames, findCommand, isGroup } from './commands/table.js';
import type { CliContext } from './context.js';
import { suggestion } from './format/suggest.js';
import { groupHelp, topLevelHelp } from './format/top-help.js';
import { write } from './write.js';

/** Exit code of wrong usage. */
const USAGE = 2;

/** Runs one command line: results to stdout, everything else to stderr. Resolves with the exit code. */
export async function runCli(args: readonly string[], context: CliContext): Promise<number> {
  const { globals, name, rest } = splitGlobals(args);
  if (name === undefined || name === '-h' || name === '--help') return printHelp(context);
  if (name === '-V' || name === '--version') return runCommand('version', globals, rest, context);
  if (name === 'help' && rest.length === 0) return printHelp(context);
  if (name === 'help') return runHelp(rest, context);
  if (isGroup(name)) return runGroup(name, globals, rest, context);
  return runCommand(name, globals, rest, context);
}

/** Runs a command whose name has two words, such as `image build`. */
async function runGroup(
  name: string,
  globals: readonly string[],
  rest: readonly string[],
  context: CliContext,
): Promise<number> {
  const [second, ...others] = rest;
  if (second === '-h' || second === '--help') return printGroup(name, context);
  if (second !== undefined) return runCommand(`${name} ${second}`, globals, others, context);
  context.stderr.write(groupHelp(name, COMMANDS));
  return USAGE;
}

async function runCommand(
  name: string,
  globals: readonly string[],
  rest: readonly string[],
  context: CliContext,
): Promise<number> {
  const entry = findCommand(name);
  if (!entry) return unknownCommand(name, context);
  // Parsing costs time that help and a wrong name need not wait for.
  const { executeCommand } = await import('./execute.js');
  return executeCommand(entry, [...globals, ...rest], context);
}

async function printHelp(context: CliContext): Promise<number> {
  await write(context.stdout, topLevelHelp(COMMANDS));
  return 0;
}

async function printGroup(name: string, context: CliContext): Promise<number> {
  await write(context.stdout, groupHelp(name, COMMANDS));
  return 0;
}

async function runHelp(words: readonly string[], context: CliContext): Promise<number> {
  const [first = '', second] = words;
  if (isGroup(first) && second === undefined) return printGroup(first, context);
  const topic = isGroup(first) ? `${first} ${second}` : first;
  const entry = findCommand(topic);
  if (entry) return runCommand(entry.name, [], ['--help'], context);
  const { helpTopic } = await import('./format/help-topics.js');
  const text = helpTopic(topic);
  if (text === undefined) return unknownCommand(topic, context);
  await write(context.stdout, text);
  return 0;
}

function unknownCommand(name: string, context: CliContext): number {
  const near = suggestion(name, commandNames());
  const hint = near ? ` Did you mean '${near}'?` : '';
  context.stderr.write(`error: unknown command '${name}'.${hint}\nhint: vm-agent help\n`);
  return USAGE;
}

/** Takes global options off the front, so that they may stand before the command. */
function splitGlobals(args: readonly string[]) {
  let at = 0;
  for (; at < args.length; at++) {
    const arg = args[at] ?? '';
    if (arg === '--hub') at++;
    else if (!(arg.startsWith('--hub=') || arg === '--json' || arg === '--debug')) break;
  }
  return { globals: args.slice(0, at), name: args[at], rest: args.slice(at + 1) };
}
