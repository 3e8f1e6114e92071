import type { Recovery } from '../store/sqlite/recover-database.js';

/** What a recovery did, for a person: one line each. */
export function recoveryText({ keptAs, findings, kept, lost }: Recovery): string {
  if (keptAs === undefined) return 'the database is not damaged; nothing was changed\n';
  const counts = Object.entries(kept).map(([table, rows]) => `${table} ${rows}`);
  return [
    'the database was damaged and is made anew from what could be read',
    ...findings.map((finding) => `  damage     ${finding}`),
    `  kept       ${counts.join(', ')}`,
    ...lost.map(({ table, what }) => `  lost       ${table}: ${what}`),
    `  old file   ${keptAs}`,
    '',
  ].join('\n');
}
