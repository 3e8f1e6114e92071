import type { Check, Diagnosis } from '../../src/app/doctor/check.js';
import { safe } from './errors.js';

const MARKS: Readonly<Record<Check['status'], string>> = { ok: 'ok', warn: 'note', bad: 'BAD' };
const NAME_WIDTH = 26;

/** The report of `vm-agent doctor`: a line for each thing, and under it what mends it. */
export function doctorReport({ works, checks }: Diagnosis): string {
  const groups = [...new Set(checks.map((check) => check.group))];
  const sections = groups.map((group) => {
    const lines = checks.filter((check) => check.group === group).map(checkLines);
    return `${group}\n${lines.join('')}`;
  });
  const end = works
    ? 'A hub can run here and make machines: vm-agent up'
    : 'A hub cannot make machines here until what is marked BAD is mended.';
  return `${sections.join('\n')}\n${end}\n`;
}

function checkLines({ name, status, detail, fix }: Check): string {
  const text = safe(detail).replace(/\s+/g, ' ');
  const line = `  ${MARKS[status].padEnd(5)} ${safe(name).padEnd(NAME_WIDTH)} ${text}\n`;
  return fix === undefined || status === 'ok' ? line : `${line}        mend: ${safe(fix)}\n`;
}
