// Runs the mocha suites, each in a process of its own, and ends with the line
// `N passed, N failed`.
//
//   node scripts/test.mjs              all suites
//   node scripts/test.mjs unit e2e     only these
import { fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const SUITES = ['unit', 'contract', 'integration', 'e2e'];
const SUITE_LIMIT_MS = 35 * 60_000;
/** How long a suite may take to leave after its last test. */
const LEAVE_LIMIT_MS = 30_000;

/** Runs one suite; what it does not tell (a crash, a hang) counts as one failure. */
function runSuite(suite) {
  return new Promise((resolve) => {
    const startedMs = Date.now();
    const child = fork(join(root, 'scripts', 'run-suite.mjs'), [suite], {
      cwd: root,
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    let counts = { passed: 0, failed: 0, skipped: 0 };
    let complaint = `the suite ${suite} ended before its tests did`;
    let timer = setTimeout(() => stop('took too long'), SUITE_LIMIT_MS);
    const stop = (why) => {
      complaint = `the suite ${suite} ${why} and was killed`;
      child.kill('SIGKILL');
    };
    child.on('message', (message) => {
      counts = message;
      complaint = undefined;
      clearTimeout(timer);
      timer = setTimeout(() => stop('left something running'), LEAVE_LIMIT_MS);
    });
    child.on('exit', () => {
      clearTimeout(timer);
      if (complaint !== undefined) counts = { ...counts, failed: counts.failed + 1 };
      resolve({ suite, ...counts, complaint, seconds: (Date.now() - startedMs) / 1000 });
    });
  });
}

const asked = process.argv.slice(2);
const unknown = asked.filter((suite) => !SUITES.includes(suite));
if (unknown.length > 0) {
  process.stderr.write(`unknown suite ${unknown.join(', ')}; there are ${SUITES.join(', ')}\n`);
  process.exit(2);
}
const results = [];
for (const suite of asked.length > 0 ? asked : SUITES) {
  if (existsSync(join(root, 'test', suite))) results.push(await runSuite(suite));
}

const sum = (key) => results.reduce((total, result) => total + result[key], 0);
console.log('');
for (const { suite, passed, failed, skipped, seconds, complaint } of results) {
  const note = complaint === undefined ? '' : `  (${complaint})`;
  console.log(
    `${suite}: ${passed} ok, ${failed} not ok, ${skipped} left out, ${seconds.toFixed(1)} s${note}`,
  );
}
const skipped = sum('skipped');
console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = sum('failed') > 0 || sum('passed') === 0 ? 1 : 0;
