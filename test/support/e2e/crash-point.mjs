// Loaded into a hub with `--import`: kills it as a loss of power would, before or after the n-th thing that it does
// to the world: a commit, a write or sync of a file, a rename or removal, a frame that is sent. The file named by
// CRASH_POINT arms it and holds n; 0 only counts. How far it came is written to the same name with `.count`.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import * as files from 'node:fs/promises';
import { createRequire, register, syncBuiltinESMExports } from 'node:module';

const require = createRequire(import.meta.url);
const armed = process.env.CRASH_POINT ?? '';
let count = 0;

function point(what) {
  if (!existsSync(armed)) {
    count = 0;
    return;
  }
  count += 1;
  writeFileSync(`${armed}.count`, `${count} ${what}`);
  if (count === Number(readFileSync(armed, 'utf8'))) process.kill(process.pid, 'SIGKILL');
}

/** Puts a point before and after each call of a method, also when it answers a promise. */
function wrap(owner, name, title = name) {
  const original = owner[name];
  const value = function (...args) {
    const what = typeof title === 'function' ? title(args) : title;
    if (what === undefined) return original.apply(this, args);
    point(`before ${what}`);
    const result = original.apply(this, args);
    if (typeof result?.then !== 'function') {
      point(`after ${what}`);
      return result;
    }
    return result.then((value) => {
      point(`after ${what}`);
      return value;
    });
  };
  Object.defineProperty(owner, name, { value, configurable: true, writable: true });
}

const onCommit = ([sql]) => (sql === 'COMMIT' ? 'commit' : undefined);

/** The package's class cannot be changed: who imports it gets one of ours that extends it. */
async function wrapDatabase() {
  const builtIn = await import('node:sqlite').catch(() => undefined);
  if (builtIn) return wrap(builtIn.DatabaseSync.prototype, 'exec', onCommit);
  const { DatabaseSync } = await import('@photostructure/sqlite');
  globalThis.CrashDatabase = class extends DatabaseSync {
    exec(sql) {
      return super.exec(sql);
    }
  };
  wrap(globalThis.CrashDatabase.prototype, 'exec', onCommit);
  const ours = 'data:text/javascript,export const DatabaseSync = globalThis.CrashDatabase';
  const resolve = `export const resolve = (name, context, next) =>
    name === '@photostructure/sqlite' ? { url: ${JSON.stringify(ours)}, shortCircuit: true } : next(name, context)`;
  register(`data:text/javascript,${encodeURIComponent(resolve)}`);
}

async function wrapFiles() {
  const handle = await files.open('/dev/null');
  for (const name of ['write', 'datasync', 'sync']) wrap(Object.getPrototypeOf(handle), name, `file ${name}`);
  await handle.close();
  const promises = require('node:fs/promises');
  for (const name of ['rename', 'rm', 'mkdir'])
    wrap(promises, name, ([path]) => `${name} ${String(path).slice(-30)}`);
  syncBuiltinESMExports();
}

function wrapStreams() {
  const http2 = require('node:http2');
  const create = http2.createServer;
  let wrapped = false;
  http2.createServer = (...args) => {
    const server = create(...args);
    server.on('stream', (stream) => {
      if (!wrapped) wrap(Object.getPrototypeOf(stream), 'write', 'send');
      wrapped = true;
    });
    return server;
  };
  syncBuiltinESMExports();
}

if (armed !== '' && process.argv.includes('hub')) {
  await wrapDatabase();
  await wrapFiles();
  wrapStreams();
}
