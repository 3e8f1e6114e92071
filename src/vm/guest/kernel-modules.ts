import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { isErrno } from '../../base/errno.js';
import { runBytes } from '../../base/process.js';
import { HubError } from '../../model/hub-error.js';

/** Programs that unpack modules, by the end of the file's name. */
const UNPACKERS: Readonly<Record<string, string>> = { '.xz': 'xz', '.zst': 'zstd' };
const MAX_MODULE_BYTES = 64 * 1024 * 1024;

/** A module of a kernel, as the kernel loads it. */
export interface KernelModule {
  readonly name: string;
  readonly data: Buffer;
}

/**
 * Reads modules and all that they need, in the order in which they have to be loaded. What is built into the kernel is
 * left out.
 *
 * @param dir Directory of the kernel's modules, `lib/modules/RELEASE`.
 * @throws HubError VM_FAILED naming a module that the kernel does not have.
 */
export async function readModules(
  dir: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<readonly KernelModule[]> {
  const needs = parseNeeds(await readFile(join(dir, 'modules.dep'), 'utf8'));
  const builtIn = await readFile(join(dir, 'modules.builtin'), 'utf8');
  const there = new Set(builtIn.split('\n').map(moduleName));
  const order = loadOrder(needs, there, names);
  const modules: KernelModule[] = [];
  for (const path of order)
    modules.push({ name: moduleName(path), data: await readModule(join(dir, path), signal) });
  return modules;
}

/** Paths of modules with those that they need, the needed ones first. */
export function loadOrder(
  needs: ReadonlyMap<string, readonly string[]>,
  builtIn: ReadonlySet<string>,
  names: readonly string[],
): readonly string[] {
  const byName = new Map([...needs.keys()].map((path) => [moduleName(path), path]));
  const order = new Set<string>();
  const visit = (path: string, above: ReadonlySet<string>) => {
    if (order.has(path) || above.has(path)) return;
    for (const needed of needs.get(path) ?? []) visit(needed, new Set([...above, path]));
    order.add(path);
  };
  for (const name of names) {
    const path = byName.get(name);
    if (path !== undefined) visit(path, new Set());
    else if (!builtIn.has(name)) throw missing(name);
  }
  return [...order];
}

function missing(name: string): HubError {
  const message = `the kernel of the image has no module ${name}, which machines need; use another kernel package`;
  return new HubError('VM_FAILED', message, { metadata: { module: name } });
}

/** `path: needed needed...` */
function parseNeeds(text: string): ReadonlyMap<string, readonly string[]> {
  const lines = text.split('\n').filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => {
      const [path = '', needed = ''] = line.split(':');
      return [path, needed.split(' ').filter((name) => name !== '')];
    }),
  );
}

/** File names have dashes where the kernel has underscores. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

async function readModule(path: string, signal: AbortSignal): Promise<Buffer> {
  if (path.endsWith('.ko')) return await readFile(path);
  if (path.endsWith('.gz')) return gunzipSync(await readFile(path));
  const tool = UNPACKERS[path.slice(path.lastIndexOf('.'))];
  if (tool === undefined) throw cannotUnpack(path, 'its kind of compression is not known');
  return await unpack(tool, path, signal);
}

async function unpack(tool: string, path: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const options = { signal, maxBytes: MAX_MODULE_BYTES };
    const { code, stdout, stderr } = await runBytes(tool, ['-dc', '--', path], options);
    if (code === 0) return stdout;
    throw cannotUnpack(path, stderr.trim().slice(0, 300));
  } catch (err) {
    if (isErrno(err, 'ENOENT')) throw cannotUnpack(path, `${tool} is missing`);
    throw err;
  }
}

function cannotUnpack(path: string, why: string): HubError {
  const message = `the kernel module ${path} cannot be unpacked (${why}); install xz-utils or zstd`;
  return new HubError('VM_FAILED', message, { metadata: { module: path } });
}
