/** How much is logged. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** The levels, least important first. */
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Data of one log line. Values must be short and hold no secrets. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes log lines: a constant sentence, with all data in fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

/** The level in force; shared by a logger and all made from it. */
export interface LevelSwitch {
  level: LogLevel;
}

/** A logger that writes one JSON object a line. */
export function createJsonLogger(
  write: (line: string) => void,
  levels: LevelSwitch,
  fields: LogFields = {},
): Logger {
  const log = (level: LogLevel, message: string, more: LogFields = {}) => {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(levels.level)) return;
    write(
      `${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields, ...plain(more) })}\n`,
    );
  };
  return {
    debug: (message, more) => log('debug', message, more),
    info: (message, more) => log('info', message, more),
    warn: (message, more) => log('warn', message, more),
    error: (message, more) => log('error', message, more),
    with: (more) => createJsonLogger(write, levels, { ...fields, ...more }),
  };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLogger,
};

function plain(fields: LogFields): LogFields {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, plainValue(value)]));
}

function plainValue(value: unknown): unknown {
  return value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value;
}
