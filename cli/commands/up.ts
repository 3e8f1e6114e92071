import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'clipanion';
import { systemClock } from '../../src/base/clock.js';
import { lockHolder } from '../../src/base/lock-file.js';
import { start } from '../../src/base/process.js';
import { createClient, type VmAgentClient } from '../../src/client/index.js';
import { formatAddress } from '../../src/config/address.js';
import { type HubConfig, loadHubConfig } from '../../src/config/hub-config.js';
import { HubError } from '../../src/model/hub-error.js';
import { safe } from '../format/errors.js';
import { jsonLine } from '../format/json.js';
import { HubOptionsCommand } from '../hub-options.js';

/** How long a hub may take to become healthy. */
const START_MS = 30_000;
const POLL_MS = 50;
/** What is shown of a hub that did not start. */
const TAIL_BYTES = 2_000;

/** Starts the hub in the background. */
export class UpCommand extends HubOptionsCommand {
  static override paths = [['up']];
  static synopsis = 'up [options]';
  static override usage = Command.Usage({
    description: 'Start the hub in the background, unless it runs, and show where it is.',
    examples: [['', '$0 up']],
  });

  async execute(): Promise<number> {
    const config = loadHubConfig({ flags: this.flags(), env: this.context.env });
    const running = await lockHolder(config.home.lockFile);
    const hub = running ? { pid: running.pid, failure: () => undefined } : this.launch(config);
    const client = createClient({ address: formatAddress(config.grpc), signal: this.context.signal });
    try {
      await this.untilHealthy(client, config, hub);
    } finally {
      client.close();
    }
    this.note(
      running ? `the hub is already running (pid ${running.pid})` : `the hub is running (pid ${hub.pid})`,
    );
    await this.print(
      this.json ? jsonLine({ ...urls(config), pid: hub.pid, started: !running }) : urlLines(config),
    );
    return 0;
  }

  private launch(config: HubConfig): StartedHub {
    const [file = process.execPath, ...args] = this.context.self;
    const flags = Object.entries(this.flags()).map(([name, value]) => `--${name}=${value}`);
    mkdirSync(config.home.logsDir, { recursive: true, mode: 0o700 });
    const logFile = join(config.home.logsDir, 'hub-start.log');
    const log = openSync(logFile, 'w', 0o600);
    const child = start(file, [...args, 'hub', ...flags], {
      detached: true,
      stdio: ['ignore', log, log],
      env: this.context.env,
    });
    closeSync(log);
    child.unref();
    let ended: string | undefined;
    child.once('error', (err) => {
      ended = err.message;
    });
    child.once('exit', () => {
      ended ??= 'it ended without a word';
    });
    return { pid: child.pid ?? 0, failure: () => ended && (tailOf(logFile) || ended) };
  }

  private async untilHealthy(client: VmAgentClient, config: HubConfig, hub: StartedHub): Promise<void> {
    const deadline = systemClock.monotonic() + START_MS;
    for (;;) {
      const failure = hub.failure();
      if (failure !== undefined)
        throw new HubError('ILLEGAL_STATE', `the hub did not start: ${safe(failure)}`);
      // Another hub may answer at this address; ours is the one that holds the lock of this home.
      const holder = await lockHolder(config.home.lockFile);
      if (holder?.pid === hub.pid && (await isHealthy(client))) return;
      if (systemClock.monotonic() >= deadline) {
        const message = `the hub (pid ${hub.pid}) is not healthy after ${START_MS / 1000} s; see ${config.home.logsDir}`;
        throw new HubError('DEADLINE_EXCEEDED', message);
      }
      await systemClock.sleep(POLL_MS, this.context.signal);
    }
  }
}

interface StartedHub {
  readonly pid: number;
  /** What it said when it ended; undefined while it runs. */
  failure(): string | undefined;
}

function tailOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-TAIL_BYTES).trim();
  } catch {
    return '';
  }
}

async function isHealthy(client: VmAgentClient): Promise<boolean> {
  const health = await client.health({ deadlineMs: 1_000 }).catch(() => undefined);
  return health?.status === 'healthy';
}

function urls({ grpc, http, dashboard }: HubConfig) {
  return {
    grpc: formatAddress(grpc),
    rest: `http://${formatAddress(http)}`,
    dashboard: `http://${formatAddress(dashboard)}`,
  };
}

function urlLines(config: HubConfig): string {
  const { grpc, rest, dashboard } = urls(config);
  return `gRPC       ${grpc}\nREST       ${rest}\nDashboard  ${dashboard}\n`;
}
