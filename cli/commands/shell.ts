import { Command, Option } from 'clipanion';
import { AsyncQueue } from '../../src/base/async-queue.js';
import { BaseCommand } from '../base-command.js';
import type { CliContext } from '../context.js';
import { EXIT } from '../format/exit-code.js';
import { shellInput, type WindowSize } from '../shell-input.js';

/** Sizes that wait to be sent; a window that is being dragged may lose some in between. */
const MAX_SIZES = 16;

/** Opens a terminal in an agent. */
export class ShellCommand extends BaseCommand {
  static override paths = [['shell']];
  static synopsis = 'shell <name> [-- command arguments...]';
  static override usage = Command.Usage({
    description: 'Open a terminal in an agent; answers the exit code of the shell.',
    examples: [['', '$0 shell dev']],
  });

  name = Option.String();
  argv = Option.Rest();

  async execute(): Promise<number> {
    const { stdin, stdout, env } = this.context;
    const client = await this.connect();
    const sizes = new AsyncQueue<WindowSize>(MAX_SIZES);
    const ended = new AbortController();
    const size = windowSize(stdout);
    const open = {
      agent: this.name,
      argv: this.argv,
      ...(env.TERM ? { term: env.TERM } : {}),
      ...(size ? { size } : {}),
    };
    const resized = () => {
      const now = windowSize(stdout);
      if (now) sizes.push(now);
    };
    stdout.on('resize', resized);
    const raw = stdin.isTTY === true;
    try {
      if (raw) stdin.setRawMode?.(true);
      return await this.show(client.shell(open, shellInput(stdin, sizes, ended.signal)));
    } finally {
      ended.abort();
      sizes.end();
      stdout.off('resize', resized);
      if (raw) stdin.setRawMode?.(false);
      stdin.pause();
    }
  }

  override exitCodeOf(): number {
    return EXIT.failed;
  }

  private async show(screen: AsyncGenerator<Uint8Array, number, undefined>): Promise<number> {
    for (;;) {
      const next = await screen.next();
      if (next.done) return next.value;
      await this.print(next.value);
    }
  }
}

function windowSize({ columns, rows }: CliContext['stdout']): WindowSize | undefined {
  return columns && rows ? { columns, rows } : undefined;
}
