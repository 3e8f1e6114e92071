import { type StreamLogsRequest, StreamLogsRequest_Format } from '../../gen/vmagent/v1/hub_service.js';
import { LogRecord_Stream, type LogRecord as ProtoRecord } from '../../gen/vmagent/v1/log.js';
import type { OutputRecord } from '../model/output.js';
import { msFromTimestamp, timestampFromMs } from './time.js';
import { Violations } from './violations.js';

/** Lines that are shown of an agent when nothing else is asked for. */
const AGENT_LINES = 100;
const MAX_LINES = 1_000_000;
const CURSOR_PATTERN = /^[0-9][0-9a-z.:-]{0,63}$/;
const NO_BYTES = Buffer.alloc(0);

/** A piece of output as callers get it: a line (`text`), bytes (`data`), or a gap. */
export interface LogPiece extends Omit<OutputRecord, 'data' | 'cursor'> {
  /** Goes on behind this piece, exactly. */
  readonly cursor: string;
  readonly text?: string;
  readonly data?: Uint8Array;
  readonly partial: boolean;
}

/** A piece of output, as a message. */
export function logToProto(piece: LogPiece): ProtoRecord {
  const { data } = piece;
  return {
    cursor: piece.cursor,
    time: timestampFromMs(piece.timeMs),
    agent: piece.agent,
    task: piece.task,
    attempt: piece.attempt,
    stream: piece.gapBytes > 0 ? LogRecord_Stream.GAP : LogRecord_Stream[piece.stream],
    offset: piece.offset,
    text: piece.text ?? '',
    data: data === undefined ? NO_BYTES : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    partial: piece.partial,
    gapBytes: piece.gapBytes,
  };
}

/**
 * Reads and checks which output to answer.
 *
 * @throws HubError INVALID_FIELD naming every bad field.
 */
export function logQueryFromProto(proto: StreamLogsRequest) {
  const found = new Violations();
  const { task, agent, format } = proto;
  if ((task === '') === (agent === '')) found.add('task', 'either task or agent is required, not both');
  if (task !== '') found.id('task', task);
  if (agent !== '') found.name('agent', agent);
  if (proto.lines !== undefined) found.number('lines', proto.lines, 0, MAX_LINES);
  if (format === StreamLogsRequest_Format.UNRECOGNIZED) found.add('format', 'LINES or BYTES');
  if (proto.cursor !== '' && !CURSOR_PATTERN.test(proto.cursor))
    found.add('cursor', 'the cursor of a record before, unchanged');
  const streams = readStreams(proto.streams, found);
  found.throwIfAny();
  const sinceMs = msFromTimestamp(proto.since);
  const lines = proto.lines ?? (agent !== '' && proto.cursor === '' ? AGENT_LINES : undefined);
  return {
    scope: task === '' ? { agent } : { task },
    follow: proto.follow,
    ...(lines === undefined ? {} : { lines }),
    ...(proto.cursor === '' ? {} : { cursor: proto.cursor }),
    ...(sinceMs === undefined ? {} : { sinceMs }),
    format: format === 'BYTES' ? ('BYTES' as const) : ('LINES' as const),
    streams,
  };
}

function readStreams(streams: readonly LogRecord_Stream[], found: Violations) {
  const known: ('STDOUT' | 'STDERR' | 'GAP')[] = [];
  for (const stream of streams)
    if (stream === 'STDOUT' || stream === 'STDERR' || stream === 'GAP') known.push(stream);
    else found.add('streams', 'STDOUT, STDERR or GAP');
  return [...new Set(known)];
}
