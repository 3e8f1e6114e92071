import { HubError } from '../../model/hub-error.js';

/** Primary result codes of SQLite (sqlite.org/rescode.html) that say that the file, not the statement, is at fault. */
const BUSY = 5;
const LOCKED = 6;
const NOMEM = 7;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;
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
  return HubError.from(err);
}

function resultCode(err: unknown): number | undefined {
  if (!(err instanceof Error) || !('errcode' in err) || typeof err.errcode !== 'number') return undefined;
  return err.errcode & 0xff;
}
