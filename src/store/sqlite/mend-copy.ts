import { type FileHandle, open } from 'node:fs/promises';
import type { Database } from './database.js';

const PAGE_BYTES = 4096;

/**
 * Writes anew what never changes at the beginning of our files (sqlite.org/fileformat2.html, 1.3), so that a bit
 * there does not hide all the rest. The size is then taken from the file itself.
 */
export function mendHeader(path: string): Promise<void> {
  return changing(path, async (file) => {
    await file.write(Buffer.from('SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20', 'latin1'), 0, 24, 0);
    await file.write(Buffer.from([0, 0, 0, 4]), 0, 4, 44);
    await file.write(Buffer.from([0, 0, 0, 1]), 0, 4, 56);
    await file.write(Buffer.alloc(24), 0, 24, 72);
  });
}

/** Whether tables have the columns that they have in an empty database, or had before a newer schema. */
export function knowsTables(db: Database, template: Database, tables: readonly string[]): boolean {
  const columns = (of: Database, table: string) =>
    of.all<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`).map(({ name }) => name);
  try {
    return tables.every((table) => {
      const found = columns(db, table);
      const known = columns(template, table);
      db.all(`SELECT * FROM "${table}" WHERE 0`);
      return found.length > 0 && found.every((name) => known.includes(name));
    });
  } catch {
    return false;
  }
}

/**
 * Puts the schema of an empty database in the place of one that cannot be read. It stands in the same pages, and
 * names the same pages, in every database that was made with this version.
 *
 * @param template an empty database whose log is copied into its file.
 */
export async function mendSchema(path: string, template: Database, templatePath: string): Promise<void> {
  const sql = "SELECT pageno FROM dbstat WHERE name = 'sqlite_schema' ORDER BY pageno";
  const pages = template.all<{ pageno: number }>(sql);
  await using from = await open(templatePath, 'r');
  await changing(path, async (file) => {
    const page = Buffer.alloc(PAGE_BYTES);
    for (const { pageno } of pages) {
      await from.read(page, 0, PAGE_BYTES, (pageno - 1) * PAGE_BYTES);
      if (pageno === 1) page.fill(0, 28, 44);
      await file.write(page, 0, PAGE_BYTES, (pageno - 1) * PAGE_BYTES);
    }
  });
}

async function changing(path: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
