import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { systemClock } from '../../src/base/clock.js';

/** A program in the place of the agent: runs command lines that come over a socket in its state directory. */
export const STAND_IN_AGENT = `
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

const config = JSON.parse(readFileSync(process.argv[process.argv.indexOf('--config') + 1], 'utf8'));
const socket = join(config.stateDir, 's');
rmSync(socket, { force: true });
console.log('stand-in of ' + config.agentId + ' generation ' + config.vmGeneration);
createServer({ allowHalfOpen: true }, (peer) => {
  let command = '';
  peer.setEncoding('utf8').on('data', (text) => { command += text; });
  peer.on('error', () => {}).on('end', () => {
    const child = spawn('/bin/sh', ['-c', command], { cwd: config.home, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (data) => { output += data; });
    child.stderr.on('data', (data) => { output += data; });
    child.on('close', (code) => peer.end(JSON.stringify({ code, output })));
  });
}).listen(socket);
process.on('SIGTERM', () => process.exit(0));
`;

/** Writes the stand-in as a program file. */
export function writeStandIn(path: string): Promise<void> {
  return writeFile(path, STAND_IN_AGENT);
}

/** What a command in a machine left behind; both streams in `output`. */
export interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a command line through the stand-in whose state directory this is; waits up to 10 s until it listens. */
export async function askStandIn(stateDir: string, command: string): Promise<Ran> {
  const end = systemClock.monotonic() + 10_000;
  for (;;) {
    try {
      return JSON.parse(await exchange(`${stateDir}/s`, command)) as Ran;
    } catch (err) {
      if (systemClock.monotonic() > end) throw err;
      await systemClock.sleep(10);
    }
  }
}

function exchange(path: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path, () => socket.end(command));
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer to: ${command}`)));
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    socket.on('error', reject).on('close', () => resolve(text));
  });
}
