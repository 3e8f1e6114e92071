import type { OptionShape } from './option-shape.js';

/** A command line for `exec`, taken apart. */
export interface ExecArgs {
  /** Options of ours, wherever they stood. */
  readonly own: readonly string[];
  readonly agent: string | undefined;
  readonly command: readonly string[];
  /** Whether `--` stood before the command: then it is never a shell line. */
  readonly dashes: boolean;
}

/** What makes a single word a line for the shell. */
const SHELL_TEXT = /[\s;|&<>()`$*?"'\\]/;

/**
 * Tells our options from those of the remote command. Ours stand before the agent's name or directly behind it, up to
 * the first other word or `--`. A first word with white space is a whole command line, so what follows it is ours
 * again, as in `exec dev "apt update" --sudo`.
 */
export function splitExecArgs(args: readonly string[], options: readonly OptionShape[]): ExecArgs {
  const before = takeOptions(args, options);
  const [agent, ...rest] = before.rest;
  if (agent === undefined || agent === '--')
    return { own: before.own, agent: undefined, command: [], dashes: false };
  const between = takeOptions(rest, options);
  const own = [...before.own, ...between.own];
  if (between.rest[0] === '--') return { own, agent, command: between.rest.slice(1), dashes: true };
  const [line = '', ...behind] = between.rest;
  const after = takeOptions(behind, options);
  const wholeLine = /\s/.test(line) && after.rest.length === 0;
  if (wholeLine) return { own: [...own, ...after.own], agent, command: [line], dashes: false };
  return { own, agent, command: between.rest, dashes: false };
}

/** What to run: a line for the shell, or a program with arguments and no shell. */
export function execTarget(
  command: readonly string[],
  dashes: boolean,
): { readonly command: string } | { readonly argv: string[] } {
  const [only] = command;
  if (!dashes && command.length === 1 && only !== undefined && SHELL_TEXT.test(only))
    return { command: only };
  return { argv: [...command] };
}

function takeOptions(args: readonly string[], options: readonly OptionShape[]) {
  const arity = new Map(options.flatMap(({ names, arity }) => names.map((name) => [name, arity] as const)));
  let at = 0;
  while (at < args.length) {
    const arg = args[at] ?? '';
    const taken = arg.includes('=') ? arity.get(arg.slice(0, arg.indexOf('='))) : arity.get(arg);
    if (taken === undefined) break;
    at += arg.includes('=') ? 1 : 1 + taken;
  }
  return { own: args.slice(0, at), rest: args.slice(at) };
}
