import { Cli, type CommandClass } from 'clipanion';
import { isErrno, messageOf } from '../src/base/errno.js';
import type { BaseCommand } from './base-command.js';
import type { CommandEntry } from './commands/table.js';
import { BROKEN_PIPE, type CliContext, interruptedCode } from './context.js';
import { commandHelp } from './format/command-help.js';
import { errorLines } from './format/errors.js';
import type { OptionShape } from './option-shape.js';
import { UsageError } from './usage-error.js';

/** Exit code of wrong usage. */
const USAGE = 2;

/** What clipanion says, among much else, when a positional argument is missing or one too many. */
const WRONG_COUNT = /^(Command not found|Not enough positional|Extraneous positional)/;

/** Handled before parsing, so that help needs no valid command line. */
const HELP = { names: ['-h', '--help'], description: 'show this help', arity: 0, hidden: false };

/** Clipanion with one command, whose options can be looked at. */
class OneCommandCli extends Cli<CliContext> {
  constructor(command: CommandClass<CliContext>) {
    super({ binaryName: 'vm-agent', enableColors: false });
    this.register(command);
  }

  options() {
    return [...this.registrations.values()].flatMap(({ builder }) => builder.options);
  }
}

/** Parses the arguments of one command and runs it. Errors go to stderr; resolves with the exit code. */
export async function executeCommand(
  entry: CommandEntry,
  args: readonly string[],
  context: CliContext,
): Promise<number> {
  const commandClass = await entry.load();
  const cli = new OneCommandCli(commandClass);
  const options = [...cli.options(), HELP];
  const statics = commandClass as CommandClass<CliContext> & Partial<CommandStatics>;
  const synopsis = statics.synopsis ?? `${entry.name} [options]`;
  try {
    const prepared = statics.prepare?.(args, options) ?? args;
    if (asksForHelp(prepared)) {
      context.stdout.write(commandHelp({ synopsis, usage: commandClass.usage ?? {}, options }));
      return 0;
    }
    const command = cli.process([...entry.name.split(' '), ...prepared], context);
    command.context = context as CliContext & typeof command.context;
    return await run(command as BaseCommand, context);
  } catch (err) {
    return usageFailure(err, synopsis, entry, context);
  }
}

/** What a command class may say beside what clipanion knows. */
export interface CommandStatics {
  /** First line of its help, such as `create <name> [options]`. */
  readonly synopsis: string;
  /** Rearranges arguments before they are parsed. */
  prepare(args: readonly string[], options: readonly OptionShape[]): readonly string[];
}

async function run(command: BaseCommand, context: CliContext): Promise<number> {
  try {
    return (await command.execute()) ?? 0;
  } catch (err) {
    if (err instanceof UsageError) throw err;
    if (isErrno(err, 'EPIPE')) return BROKEN_PIPE;
    const interrupted = interruptedCode(err);
    if (interrupted !== undefined) return interrupted;
    const { debug, json } = command;
    context.stderr.write(errorLines(err, { debug, json }));
    return command.exitCodeOf(err);
  } finally {
    await command.close();
  }
}

function usageFailure(err: unknown, synopsis: string, entry: CommandEntry, context: CliContext): number {
  // Clipanion shows the usage behind its message; the first line says what is wrong.
  const [first = ''] = messageOf(err).split('\n');
  const message = WRONG_COUNT.test(first) ? `wrong number of arguments; usage: vm-agent ${synopsis}` : first;
  context.stderr.write(`error: ${message}\nhint: vm-agent help ${entry.name}\n`);
  return USAGE;
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  return own.includes('-h') || own.includes('--help');
}
