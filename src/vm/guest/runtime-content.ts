import { existsSync } from 'node:fs';
import { readdir, realpath } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { run } from '../../base/process.js';
import { BOOT_SCRIPTS } from './boot-scripts.js';
import type { RuntimeEntry } from './runtime-entry.js';

/** What the runtime disk is made from. */
export interface RuntimeSources {
  /** The bundled agent program. */
  readonly agentProgram: string;
  /** Node.js of the host; its npm goes along. */
  readonly nodePath: string;
}

/** Parts of npm that only people read. */
const NOT_NEEDED = ['docs', 'man'];
/** `npm install --global` writes where root of the guest may. */
const NPM_SETTINGS = 'prefix = /usr/local\n';
const PTY_MODULE = '@lydell/node-pty';
/** Libraries of glibc: they belong to the guest's own loader. */
const OF_GLIBC =
  /^(ld-linux|ld64|libc|libm|libdl|libpthread|librt|libutil|libresolv|linux-vdso|linux-gate)\b/;

/** Everything on the runtime disk, directories left out, in the order of their paths. */
export async function runtimeContent(sources: RuntimeSources): Promise<readonly RuntimeEntry[]> {
  const node = await realpath(sources.nodePath);
  const entries = [
    { path: 'bin/node', source: node },
    { path: 'agent/agent.mjs', source: sources.agentProgram },
    ...(await librariesOf(node)),
    ...(await npmOf(sources.nodePath, node)),
    ...(await nativeModules(sources.agentProgram)),
    ...BOOT_SCRIPTS,
  ];
  return entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Libraries that Node.js needs and that a guest may lack. */
async function librariesOf(node: string): Promise<readonly RuntimeEntry[]> {
  const { stdout } = await run('ldd', [node], { timeoutMs: 10_000 });
  const found = [...stdout.matchAll(/^\s*(\S+) => (\/\S+)/gm)];
  return found
    .filter(([, name = '']) => !OF_GLIBC.test(name))
    .map(([, name = '', source = '']) => ({ path: `lib/${name}`, source }));
}

/** npm, where it lies beside Node.js in one piece. */
async function npmOf(...programs: readonly string[]): Promise<readonly RuntimeEntry[]> {
  const places = programs.map((program) => join(dirname(dirname(program)), 'lib', 'node_modules', 'npm'));
  const npm = places.find((place) => existsSync(join(place, 'bin', 'npm-cli.js')));
  if (npm === undefined) return [];
  const into = 'lib/node_modules/npm';
  const files = (await filesBelow(npm)).filter((path) => !NOT_NEEDED.includes(path.split('/')[0] ?? ''));
  return [
    ...files
      .filter((path) => path !== 'npmrc')
      .map((path) => ({ path: `${into}/${path}`, source: join(npm, path) })),
    { path: `${into}/npmrc`, text: NPM_SETTINGS },
    { path: 'bin/npm', link: `../${into}/bin/npm-cli.js` },
    { path: 'bin/npx', link: `../${into}/bin/npx-cli.js` },
  ];
}

/** The terminal module with its native part, where it is installed; without it the agent uses `script`. */
async function nativeModules(agentProgram: string): Promise<readonly RuntimeEntry[]> {
  const place = installedModule(agentProgram);
  if (place === undefined) return [];
  const scope = dirname(place);
  const parts = (await readdir(scope)).filter((name) => name.startsWith(basename(place)));
  const lists = await Promise.all(
    parts.map(async (part) => {
      const files = await filesBelow(join(scope, part));
      return files.map((path) => ({
        path: `agent/node_modules/${dirname(PTY_MODULE)}/${part}/${path}`,
        source: join(scope, part, path),
      }));
    }),
  );
  return lists.flat();
}

function installedModule(agentProgram: string): string | undefined {
  try {
    return dirname(createRequire(agentProgram).resolve(PTY_MODULE));
  } catch {
    return undefined;
  }
}

/** Files below a directory, relative to it. Links are not followed: packages have none. */
async function filesBelow(dir: string, prefix = ''): Promise<readonly string[]> {
  const entries = await readdir(join(dir, prefix), { withFileTypes: true });
  const lists = entries.map((entry) => {
    const path = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) return filesBelow(dir, path);
    return entry.isFile() ? [path] : [];
  });
  return (await Promise.all(lists)).flat();
}
