// Runs the long chaos run: node --import tsx test/chaos/main.ts
// Options are variables: SEED, TASKS, RATE, AGENTS, MACHINES, HUB_KILLS, AGENT_KILLS, PAUSES, PARTITIONS, RESTORES,
// DISK_FULLS, SURVIVAL; KIND=short begins with the numbers of the short run. WRITE=1 writes the counts into
// docs/RELIABILITY.md; HISTORY=FILE keeps everything that was observed.
import { writeFile } from 'node:fs/promises';
import { LONG, optionsFrom, SHORT } from './options.js';
import { countsOf, writeCounts } from './reliability.js';
import { runChaos } from './run.js';

const options = optionsFrom(process.env, process.env.KIND === 'short' ? SHORT : LONG);
const begun = Date.now();
const log = (line: string) => process.stderr.write(`${((Date.now() - begun) / 1000).toFixed(1)} ${line}\n`);

process.stdout.write(`SEED=${options.seed}\n${JSON.stringify(options)}\n`);
const report = await runChaos(options, log);
const { history, violations } = report;
if (process.env.HISTORY) {
  await writeFile(process.env.HISTORY, history.evidence.map((item) => `${JSON.stringify(item)}\n`).join(''));
}
process.stdout.write(countsOf(report));
for (const { rule, task, what } of violations) process.stdout.write(`VIOLATION ${rule} ${task}: ${what}\n`);
if (process.env.WRITE === '1' && violations.length === 0) await writeCounts(report);
process.exitCode = violations.length === 0 ? 0 : 1;
