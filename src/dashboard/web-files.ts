import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../base/package-root.js';

/** A file of the page, kept in memory. */
export interface WebFile {
  readonly contentType: string;
  readonly body: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Folder of the page: `dist/dashboard` when this runs from `dist`, else the sources. */
export function webFolder(): string {
  const root = packageRoot();
  const runsBuilt = fileURLToPath(import.meta.url).startsWith(join(root, 'dist', sep));
  return join(root, ...(runsBuilt ? ['dist', 'dashboard'] : ['src', 'dashboard', 'web']));
}

/** Reads the files of the page by their path on the server; `/` is index.html. */
export function readWebFiles(folder: string): ReadonlyMap<string, WebFile> {
  const files = new Map<string, WebFile>();
  for (const name of readdirSync(folder)) {
    const contentType = TYPES[extname(name)];
    if (contentType === undefined) continue;
    const file = { contentType, body: readFileSync(join(folder, name)) };
    files.set(`/${name}`, file);
    if (name === 'index.html') files.set('/', file);
  }
  return files;
}
