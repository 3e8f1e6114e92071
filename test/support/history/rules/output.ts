import type { OutputStream } from '../../../../src/model/output.js';
import type { TaskCase } from '../cases.js';
import type { Judgement, Rule } from '../check.js';
import { type Piece, textOf } from '../evidence.js';

const STREAMS: readonly OutputStream[] = ['STDOUT', 'STDERR'];

/** Every line that a task wrote is stored once and in its place; what is missing is declared, to the byte. */
export const output: Rule = (found, judgement) => {
  if (!found.accepted) return [];
  const problems = found.attempts.flatMap((attempt) =>
    STREAMS.flatMap((stream) => streamProblems(found, attempt, stream)),
  );
  return [...problems, ...totalProblems(found, judgement)];
};

function streamProblems(found: TaskCase, attempt: number, stream: OutputStream): readonly string[] {
  const pieces = piecesOf(found.stored, attempt, stream);
  const where = `attempt ${attempt} ${stream}`;
  if (pieces.length > 0 && !found.markers.includes(attempt)) return [`${where} is stored and never ran`];
  const expected = textOf(found.plan, attempt, stream);
  let next = 0;
  for (const { offset, data, gapBytes } of pieces) {
    if (offset !== next) return [`${where} goes on at ${offset}, and ends at ${next} before`];
    if (data !== expected.slice(offset, offset + data.length))
      return [`${where} has other bytes at ${offset}: ${JSON.stringify(data.slice(0, 100))}`];
    next = offset + data.length + gapBytes;
  }
  return whole(found, attempt) && next !== expected.length
    ? [`${where} has ${next} bytes of ${expected.length}`]
    : [];
}

/** Whether this attempt is known to have ended by itself: an earlier run that failed, or the last one. */
function whole({ last, markers, cancelled }: TaskCase, attempt: number): boolean {
  if (!last || !markers.includes(attempt) || last.attempts?.[attempt] === 'LOST') return false;
  const ended = last.state === 'SUCCEEDED' || last.state === 'FAILED';
  return (ended || attempt < Math.max(...markers)) && !cancelled;
}

function totalProblems({ last, stored }: TaskCase, { gapsAllowed = false }: Judgement): readonly string[] {
  if (!last || last.endTime === '') return [];
  const problems: string[] = [];
  for (const stream of STREAMS) {
    const end = Math.max(0, ...piecesOf(stored, last.attempt, stream).map(endOf));
    if (last.bytes[stream] !== end && last.state !== 'LOST')
      problems.push(`${stream} has ${end} bytes, and its outcome says ${last.bytes[stream]}`);
  }
  const lost = stored
    .filter((piece) => piece.attempt === last.attempt)
    .reduce((sum, { gapBytes }) => sum + gapBytes, 0);
  if (lost !== last.lostBytes && last.state !== 'LOST')
    problems.push(`${lost} bytes are declared missing, and its outcome says ${last.lostBytes}`);
  if (lost > 0 && !gapsAllowed && last.state !== 'LOST') problems.push(`${lost} bytes are missing`);
  return problems;
}

function endOf({ offset, data, gapBytes }: Piece): number {
  return offset + data.length + gapBytes;
}

function piecesOf(pieces: readonly Piece[], attempt: number, stream: OutputStream): readonly Piece[] {
  return pieces.filter((piece) => piece.attempt === attempt && piece.stream === stream);
}
