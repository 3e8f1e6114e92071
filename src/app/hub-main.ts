import { join } from 'node:path';
import { isErrno } from '../base/errno.js';
import { createJsonLogger, type LevelSwitch, type Logger } from '../base/logger.js';
import { formatAddress } from '../config/address.js';
import { type ConfigSources, type HubConfig, loadHubConfig } from '../config/hub-config.js';
import { HubError } from '../model/hub-error.js';
import type { Recovery } from '../store/sqlite/recover-database.js';
import { makeHome } from './home-dirs.js';
import { createHub, type RunningHub } from './hub.js';
import { LogFile } from './log-file.js';
import { recoveryText } from './recovery-text.js';

/** Exit code for settings that cannot be used (sysexits EX_CONFIG). */
const EXIT_CONFIG = 78;

/**
 * Runs the hub in the foreground until SIGTERM or SIGINT; a second signal ends it at once. Answers the exit code:
 * 0, 78 for bad settings, else that of the error's reason.
 */
export async function runHub(sources: HubSources): Promise<number> {
  try {
    const config = loadHubConfig(sources);
    return await serve(config, sources).catch((err: unknown) => Promise.reject(homeError(config, err)));
  } catch (err) {
    const error = HubError.from(err);
    process.stderr.write(`error: ${error.message}\n`);
    if (error.reason === 'INTERNAL') process.stderr.write(`${String(error.cause)}\n`);
    return error.reason === 'INVALID_FIELD' ? EXIT_CONFIG : error.codes.exit;
  }
}

/** What the hub is started with. */
export interface HubSources extends ConfigSources {
  /** Replace a damaged database by what can be read of it, before anything else. Default false. */
  readonly recover?: boolean;
}

/** A home that cannot be used is said to be so; other errors pass. */
function homeError({ home }: HubConfig, err: unknown): unknown {
  if (isErrno(err, 'ENOSPC', 'EDQUOT'))
    return new HubError('DISK_FULL', `the home ${home.root} has no room: ${err.message}`, { cause: err });
  // Node.js says ENOENT when it may not make a directory on a disk that is read-only.
  if (!isErrno(err, 'EROFS', 'ENOENT', 'EACCES', 'EPERM', 'EIO', 'ENOTDIR', 'EMFILE', 'ENFILE')) return err;
  const message = `the home ${home.root} cannot be used: ${err.message}; it must be writable for this user`;
  return new HubError('STORE_FAILED', message, { cause: err });
}

async function serve(config: HubConfig, { env, recover }: HubSources): Promise<number> {
  await makeHome(config.home);
  const files = openLogFiles(config);
  const levels: LevelSwitch = { level: config.logLevel };
  const log = createJsonLogger((line) => files.write(line), levels).with({ component: 'hub' });
  try {
    const hub = await createHub({
      config,
      env,
      log,
      levels,
      ...(recover ? { recovered: (report: Recovery) => files.print(recoveryText(report)) } : {}),
    });
    announce(config, hub, (text) => files.print(text));
    await untilSignal(log);
    await hub.close();
    log.info('hub stopped');
    return 0;
  } catch (err) {
    log.error('the hub ended with an error', { error: err });
    throw err;
  } finally {
    files.close();
  }
}

interface LogFiles {
  /** A log line: to hub-stdout.log; warnings and errors also to hub-stderr.log and standard error. */
  write(line: string): void;
  /** A text for people: to standard output and hub-stdout.log. */
  print(text: string): void;
  close(): void;
}

function openLogFiles({ home }: HubConfig): LogFiles {
  const out = new LogFile(join(home.logsDir, 'hub-stdout.log'));
  const err = new LogFile(join(home.logsDir, 'hub-stderr.log'));
  return {
    write: (line) => {
      out.write(line);
      if (!/"level":"(warn|error)"/.test(line)) return;
      err.write(line);
      process.stderr.write(line);
    },
    print: (text) => {
      out.write(text);
      process.stdout.write(text);
    },
    close: () => {
      out.close();
      err.close();
    },
  };
}

function announce(config: HubConfig, hub: RunningHub, print: (text: string) => void): void {
  const { grpc, http, dashboard, door } = hub.addresses;
  print(
    [
      'vm-agent hub is ready',
      `  gRPC       ${formatAddress(grpc)}`,
      `  REST       http://${formatAddress(http)}`,
      `  dashboard  http://${formatAddress(dashboard)}`,
      `  agents     ${door}`,
      `  home       ${config.home.root}`,
      '',
    ].join('\n'),
  );
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process. */
function untilSignal(log: Logger): Promise<void> {
  return new Promise((resolve) => {
    let seen = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (seen) process.exit(130);
      seen = true;
      log.info('stopping', { signal });
      process.stderr.write(`${signal}: the hub stops; send it again to stop at once\n`);
      resolve();
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
