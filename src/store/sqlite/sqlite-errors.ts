import { messageOf } from '../../base/errno.js';
import { HubError } from '../../model/hub-error.js';

/** Primary result codes of SQLite (sqlite.org/rescode.html) that say that the file, not the statement, is at fault. */
const ERROR = 1;
const BUSY = 5;
const LOCKED = 6;
const NOMEM = 7;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;
const UNAVAILABLE = new Set([BUSY, LOCKED, READONLY, IOERR, CANTOPEN]);
const OF_THE_FILE = new Set([BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB]);

/** Whether an error makes the whole transaction worthless, whichever statement met it. */
export function failsTransaction(err: unknown): boolean {
  const code = resultCode(err);
  return code !== undefined && OF_THE_FILE.has(code);
}

/** What a caller is told about an error of SQLite; other errors pass. */
export function storeError(err: unknown): unknown {
  const code = resultCode(err);
  if (code === undefined) return err;
  if (code === FULL)
    return new HubError('DISK_FULL', 'the disk of the hub is full; nothing was stored', { cause: err });
  if (code === CORRUPT || code === NOTADB) {
    return new HubError('STORE_CORRUPT', 'the database of the hub is damaged', { cause: err });
  }
  if (UNAVAILABLE.has(code)) return storeFailed('the database of the hub', err);
  return HubError.from(err);
}

/** What a caller is told when the disk fails and may work again. `what` begins the message. */
export function storeFailed(what: string, cause: unknown): HubError {
  return new HubError('STORE_FAILED', `${what} cannot be used now: ${messageOf(cause)}`, { cause });
}

/** Whether SQLite could not make sense of a statement of ours, which only a damaged schema explains. */
export function isStatementError(err: unknown): boolean {
  return resultCode(err) === ERROR;
}

/** Some errors carry no number, only its text (sqlite3_errstr). */
const TEXTS: readonly (readonly [string, number])[] = [
  ['database disk image is malformed', CORRUPT],
  ['file is not a database', NOTADB],
  ['malformed database schema', CORRUPT],
  ['database or disk is full', FULL],
  ['disk I/O error', IOERR],
  ['attempt to write a readonly database', READONLY],
  ['unable to open database file', CANTOPEN],
  ['database is locked', BUSY],
  ['out of memory', NOMEM],
];

function resultCode(err: unknown): number | undefined {
  if (!(err instanceof Error) || !('code' in err) || err.code !== 'ERR_SQLITE_ERROR') return undefined;
  if ('errcode' in err && typeof err.errcode === 'number') return err.errcode & 0xff;
  return TEXTS.find(([text]) => err.message.includes(text))?.[1] ?? ERROR;
}
