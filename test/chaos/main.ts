// Runs the long chaos run: node --import tsx test/chaos/main.ts
// Options are variables: SEED, TASKS, RATE, AGENTS, MACHINES, HUB_KILLS, AGENT_KILLS, PAUSES, PARTITIONS, RESTORES,
// DISK_FULLS, SURVIVAL; KIND=short begins with the numbers of the short run.
import { writeFile } from 'node:fs/promises';
import { LONG, optionsFrom, SHORT } from './options.js';
import { runChaos } from './run.js';

const options = optionsFrom(process.env, process.env.KIND === 'short' ? SHORT : LONG);
const begun = Date.now();
const log = (line: string) => process.stderr.write(`${((Date.now() - begun) / 1000).toFixed(1)} ${line}\n`);

process.stdout.write(`SEED=${options.seed}\n${JSON.stringify(options)}\n`);
const { history, ...report } = await runChaos(options, log);
if (process.env.HISTORY) {
  await writeFile(process.env.HISTORY, history.evidence.map((item) => `${JSON.stringify(item)}\n`).join(''));
}
process.stdout.write(`${JSON.stringify({ ...report, violations: report.violations.length }, null, 2)}\n`);
for (const { rule, task, what } of report.violations)
  process.stdout.write(`VIOLATION ${rule} ${task}: ${what}\n`);
process.exitCode = report.violations.length === 0 ? 0 : 1;
