import { Command, Option } from 'clipanion';
import { HubOptionsCommand } from '../hub-options.js';

/** Runs the hub in the foreground. */
export class HubCommand extends HubOptionsCommand {
  static override paths = [['hub']];
  static synopsis = 'hub [options]';
  static override usage = Command.Usage({
    description: 'Run the hub in the foreground until SIGTERM or Ctrl-C.',
    examples: [['', '$0 hub --http 127.0.0.1:8091']],
  });

  recover = Option.Boolean('--recover', false, {
    description: 'first make a damaged database anew from what can be read of it; the old file stays',
  });

  async execute(): Promise<number> {
    const { runHub } = await import('../../src/app/hub-main.js');
    return (await runHub({ flags: this.flags(), env: this.context.env, recover: this.recover })) ?? 0;
  }
}
