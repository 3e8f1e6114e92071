import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../support/e2e/hub-process.js';
import type { ChaosReport } from './run.js';

const FILE = join(ROOT, 'docs', 'RELIABILITY.md');
const BEGIN = '<!-- counts: begin (written by make chaos) -->';
const END = '<!-- counts: end -->';

/** Puts the counts of a run into docs/RELIABILITY.md; everything else in it stays. */
export async function writeCounts(report: ChaosReport): Promise<void> {
  const text = await readFile(FILE, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before < 0 || after < before) throw new Error(`${FILE} has no place for the counts`);
  await writeFile(FILE, `${text.slice(0, before + BEGIN.length)}\n${countsOf(report)}${text.slice(after)}`);
}

/** The counts of a run as Markdown. */
export function countsOf(report: ChaosReport): string {
  const { options, counts, ends, seconds, violations, markers, repeats, rejected, evidence } = report;
  const ended = Object.values(ends).reduce((sum, count) => sum + count, 0);
  const connection = counts.drop + counts.delay + counts.slow + counts.split + counts.cut + counts.halfClose;
  const rows: readonly (readonly [string, string | number])[] = [
    ['**Violations**', `**${violations.length}**`],
    ['Tasks accepted, each with exactly one end', ended],
    ['Runs (markers that tasks wrote themselves)', markers],
    [
      'Ends',
      Object.entries(ends)
        .map(([state, count]) => `${count} ${state}`)
        .join(', '),
    ],
    ['Refused requests, none of which ran', rejected],
    ['Requests repeated with their key because the hub was away, paused or full', repeats],
    ['Kills of the hub (SIGKILL)', counts.killHub],
    ['Kills of agents (SIGKILL)', counts.killAgent],
    ['Pauses (SIGSTOP): of the hub, of agents', `${counts.pauseHub}, ${counts.pauseAgent}`],
    [
      'Connections dropped (also one way), delayed, slowed, split, cut, half-closed',
      `${connection}: ${counts.drop}, ${counts.delay}, ${counts.slow}, ${counts.split}, ${counts.cut}, ${counts.halfClose}`,
    ],
    ['Machines taken back to a snapshot while tasks ran', counts.restore],
    ['Full disks of the hub', counts.fillDisk],
    ['Observations that were judged', evidence],
    ['Agents: processes behind a proxy, machines', `${options.agents}, ${options.machines}`],
    [
      'Duration',
      `${Math.floor(seconds / 60)} min ${seconds % 60} s on ${cpus().length} cores, Node ${process.version}`,
    ],
    ['Seed', `\`SEED=${options.seed} make chaos\``],
  ];
  return ['', '| | |', '|---|---|', ...rows.map(([what, value]) => `| ${what} | ${value} |`), '', ''].join(
    '\n',
  );
}
