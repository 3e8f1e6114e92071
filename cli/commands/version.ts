import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'clipanion';
import { packageRoot } from '../../src/base/package-root.js';
import { BaseCommand } from '../base-command.js';
import { jsonLine } from '../format/json.js';

/** Shows the version of this program. */
export class VersionCommand extends BaseCommand {
  static override paths = [['version']];
  static synopsis = 'version';
  static override usage = Command.Usage({ description: 'Show the version of this program.' });

  async execute(): Promise<number> {
    const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
      version: string;
    };
    await this.print(this.json ? jsonLine({ version }) : `${version}\n`);
    return 0;
  }
}
