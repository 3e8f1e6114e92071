import { Command, Option } from 'clipanion';
import type { Task } from '../../src/client/index.js';
import { BaseCommand } from '../base-command.js';
import { interruptedCode } from '../context.js';
import { execTarget, splitExecArgs } from '../exec-args.js';
import { parseDuration } from '../format/duration.js';
import { safe } from '../format/errors.js';
import { EXIT, endNote, taskExitCode } from '../format/exit-code.js';
import { jsonLine } from '../format/json.js';
import type { OptionShape } from '../option-shape.js';
import { UsageError } from '../usage-error.js';
import { write } from '../write.js';

const DASHES = '--after-dashes';

/** Runs a command in an agent and answers its exit code. */
export class ExecCommand extends BaseCommand {
  static override paths = [['exec']];
  static synopsis = 'exec [options] <name> [--] <command> [arguments...]';
  static override usage = Command.Usage({
    description: 'Run a command in an agent, with its output as it comes and its exit code.',
    details: `Options stand before the name or directly behind it. One argument with white space is a
line for the shell; several arguments, and whatever follows --, are a program and its
arguments, which no shell touches. Ctrl-C cancels the command; a second one kills it.`,
    examples: [
      ['', '$0 exec dev "cd /tmp && ls -la"'],
      ['', '$0 exec dev --sudo -- id -u'],
      ['', '$0 exec --timeout 30s -e CI=1 -w /opt/repo dev npm test'],
    ],
  });

  sudo = Option.Boolean('--sudo', false, { description: 'run it as root' });
  timeout = Option.String('--timeout', {
    description: '<time> kill it after this long: 30s, 5m, or milliseconds',
  });
  env = Option.Array('-e,--env', { description: '<K=V> environment variable; may be given several times' });
  cwd = Option.String('-w,--workdir', { description: '<dir> working directory' });
  afterDashes = Option.Boolean(DASHES, false, { hidden: true });
  agent = Option.String();
  words = Option.Rest({ required: 1 });

  static prepare(args: readonly string[], options: readonly OptionShape[]): readonly string[] {
    const { own, agent, command, dashes } = splitExecArgs(args, options);
    const words = agent === undefined ? command : [agent, ...command];
    return [...own, ...(dashes ? [DASHES] : []), '--', ...words];
  }

  async execute(): Promise<number> {
    const target = execTarget(this.words, this.afterDashes);
    const request = {
      agent: this.agent,
      ...target,
      sudo: this.sudo,
      env: environment(this.env ?? []),
      ...(this.cwd === undefined ? {} : { cwd: this.cwd }),
      ...(this.timeout === undefined ? {} : { timeout: parseDuration('--timeout', this.timeout) }),
    };
    const { stdout, stderr, signal, forceSignal } = this.context;
    if (stderr.isTTY) this.note(`Executing in ${this.agent}: ${safe(this.words.join(' '))}`);
    // The first Ctrl-C must still let the output of the dying command through.
    const client = await this.connect({ cancellable: false });
    const task = await client.exec(request, {
      signal,
      forceSignal,
      onAccepted: (accepted) => this.noteWaiting(accepted),
      onStdout: (data) => (this.json ? undefined : write(stdout, data)),
      onStderr: (data) => write(stderr, data),
      onGap: (bytes) => this.note(`vm-agent: ${bytes} bytes of output were lost`),
    });
    return this.finish(task);
  }

  /** Failures of ours must not be taken for those of the command. */
  override exitCodeOf(): number {
    return EXIT.failed;
  }

  private async finish(task: Task): Promise<number> {
    if (this.json) await this.print(jsonLine(task));
    const interrupted = interruptedCode(this.context.signal.reason);
    if (interrupted !== undefined) return interrupted;
    const note = endNote(task);
    if (note) this.note(`vm-agent: ${safe(note)}`);
    return taskExitCode(task);
  }

  private noteWaiting(task: Task): void {
    if (task.state !== 'QUEUED' || task.stateReason !== 'AGENT_OFFLINE') return;
    this.note(`vm-agent: ${this.agent} is offline; the command runs when it comes back (Ctrl-C cancels it)`);
  }
}

function environment(pairs: readonly string[]): Record<string, string> {
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--env: must be NAME=VALUE, not '${pair}'`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
  return Object.fromEntries(entries);
}
