import { createInterface } from 'node:readline/promises';
import { Command, Option } from 'clipanion';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';
import { UsageError } from '../usage-error.js';

/** Removes an agent and its machine. */
export class DestroyCommand extends BaseCommand {
  static override paths = [['destroy'], ['rm']];
  static synopsis = 'destroy <name> [options]';
  static override usage = Command.Usage({
    description: 'Remove an agent and its machine with all snapshots.',
    examples: [['', '$0 destroy dev --force']],
  });

  force = Option.Boolean('-f,--force', false, {
    description: 'do not ask, and do not wait for running tasks',
  });
  name = Option.String();

  async execute(): Promise<number> {
    if (!this.force && !(await this.confirmed())) {
      this.note('nothing was destroyed');
      return 1;
    }
    const client = await this.connect();
    await client.agents.remove(this.name, { force: this.force });
    if (this.json) await this.print(jsonLine({ status: 'deregistered' }));
    else this.note(`${this.name} is destroyed`);
    return 0;
  }

  private async confirmed(): Promise<boolean> {
    const { stdin, stderr, signal } = this.context;
    if (!stdin.isTTY) throw new UsageError(`to destroy '${this.name}' without being asked, add --force`);
    const lines = createInterface({ input: stdin, output: stderr });
    try {
      const question = `Are you sure you want to destroy agent ${this.name}? (y/N) `;
      const answer = await lines.question(question, { signal }).catch((err: unknown) => {
        throw signal.aborted ? signal.reason : err;
      });
      return /^y(es)?$/i.test(answer.trim());
    } finally {
      lines.close();
    }
  }
}
