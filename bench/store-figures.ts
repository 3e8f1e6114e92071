import { fileURLToPath } from 'node:url';
import { runCommand } from '../test/support/e2e/command.js';
import type { Bench, Figure } from './support/figures.js';

const SCRIPT = fileURLToPath(new URL('store.ts', import.meta.url));
const LINE = /^(.+): ([\d.]+) (\S+), floor ([\d.]+) \S+, ratio/;

/** The store and the output log without a hub around them. */
export const store: Bench = { name: 'store', about: 'the store and the output log alone', run };

async function run(): Promise<Figure[]> {
  const { stdout, stderr, exitCode } = await runCommand(process.execPath, ['--import', 'tsx', SCRIPT], {
    timeoutMs: 300_000,
  });
  if (exitCode !== 0) throw new Error(`${SCRIPT} ended with ${exitCode}: ${stderr}`);
  return stdout.split('\n').flatMap((line) => {
    const [, what, ours, unit, floor] = LINE.exec(line) ?? [];
    if (what === undefined || unit === undefined) return [];
    const floorIs = 'bare SQLite, or a bare file, with as many commits';
    return [{ what: `store: ${what}`, unit, ours: Number(ours), floor: Number(floor), floorIs }];
  });
}
