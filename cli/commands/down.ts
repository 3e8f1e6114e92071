import { Command, Option } from 'clipanion';
import { systemClock } from '../../src/base/clock.js';
import { lockHolder } from '../../src/base/lock-file.js';
import { signalProcess } from '../../src/base/process.js';
import { homePaths, resolveHome } from '../../src/config/home.js';
import { HubError } from '../../src/model/hub-error.js';
import { BaseCommand } from '../base-command.js';
import { parseDuration } from '../format/duration.js';
import { jsonLine } from '../format/json.js';

const POLL_MS = 50;

/** Stops the hub of a home. */
export class DownCommand extends BaseCommand {
  static override paths = [['down']];
  static synopsis = 'down [options]';
  static override usage = Command.Usage({
    description: 'Stop the hub and wait until it has ended. What agents run goes on.',
    examples: [['', '$0 down']],
  });

  home = Option.String('--home', { description: '<dir> home of the hub (default $VM_AGENT_HOME)' });
  timeout = Option.String('--timeout', '30s', { description: '<time> how long to wait (default 30s)' });

  async execute(): Promise<number> {
    const { lockFile } = homePaths(this.home ?? resolveHome(this.context.env));
    const waitMs = parseDuration('--timeout', this.timeout);
    const hub = await lockHolder(lockFile);
    if (hub) await this.stop(lockFile, hub.pid, waitMs);
    else this.note('the hub is not running');
    if (this.json)
      await this.print(jsonLine({ stopped: hub !== undefined, ...(hub ? { pid: hub.pid } : {}) }));
    return 0;
  }

  private async stop(lockFile: string, pid: number, waitMs: number): Promise<void> {
    signalProcess(pid, 'SIGTERM');
    const deadline = systemClock.monotonic() + waitMs;
    while ((await lockHolder(lockFile))?.pid === pid) {
      if (systemClock.monotonic() >= deadline) {
        throw new HubError('DEADLINE_EXCEEDED', `the hub (pid ${pid}) has not ended after ${waitMs} ms`);
      }
      await systemClock.sleep(POLL_MS, this.context.signal);
    }
    this.note(`the hub (pid ${pid}) has stopped`);
  }
}
