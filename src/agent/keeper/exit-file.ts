import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { frameRecord, readRecords } from '../record-frame.js';
import type { ExitRecord } from './messages.js';

const NAME = 'exit';

/**
 * Leaves the end of an attempt in its directory, for an agent that finds no keeper. It survives every crash of
 * the processes; it is not forced to the disk, because the journal is, before anybody is told.
 *
 * @throws when the disk is full.
 */
export function writeExit(dir: string, record: ExitRecord): void {
  const draft = join(dir, `${NAME}.next`);
  writeFileSync(draft, frameRecord(Buffer.from(JSON.stringify(record))), { mode: 0o600 });
  renameSync(draft, join(dir, NAME));
}

/** The end that a keeper left; undefined when there is none, or it is torn. */
export function readExit(dir: string): ExitRecord | undefined {
  try {
    const [payload] = readRecords(readFileSync(join(dir, NAME))).payloads;
    return payload === undefined ? undefined : (JSON.parse(payload.toString('utf8')) as ExitRecord);
  } catch {
    return undefined;
  }
}
