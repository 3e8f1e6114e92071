// Runs one mocha suite (test/NAME) with the settings of .mocharc.json and tells
// its parent the counts. Started by scripts/test.mjs.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import Mocha from 'mocha';

const suite = process.argv[2];
const { timeout, 'forbid-only': forbidOnly } = JSON.parse(readFileSync('.mocharc.json', 'utf8'));
const mocha = new Mocha({ timeout, forbidOnly, reporter: 'spec' });

const directory = join('test', suite);
const files = readdirSync(directory, { recursive: true }).filter((name) => name.endsWith('.spec.ts'));
for (const file of files.sort()) mocha.addFile(resolve(directory, file));

// Without IPC (started by hand) the exit code alone tells.
function tell(counts) {
  if (process.send === undefined) return;
  process.send(counts, () => process.disconnect());
}

await mocha.loadFilesAsync();
const runner = mocha.run((failures) => {
  process.exitCode = failures > 0 ? 1 : 0;
  const { passes, pending } = runner.stats;
  tell({ passed: passes, failed: failures, skipped: pending });
  // What keeps the process from ending is named before it is killed for it.
  const name = () => console.error(`${suite} is held open by:`, process.getActiveResourcesInfo());
  setTimeout(name, 20_000).unref();
});
