/** Streams of a process that are stored. */
export type OutputStream = 'STDOUT' | 'STDERR';

/** One stream of one attempt. */
export interface StreamKey {
  readonly task: string;
  readonly attempt: number;
  readonly stream: OutputStream;
}

/** A run of bytes of one stream. */
export interface OutputChunk extends StreamKey {
  readonly agent: string;
  /** Where the first byte stands in its stream. */
  readonly offset: number;
  /** When it was read, milliseconds since 1970. */
  readonly timeMs: number;
  readonly data: Uint8Array;
}

/** Bytes of one stream that are declared lost. */
export interface OutputGap extends StreamKey {
  readonly agent: string;
  readonly offset: number;
  readonly bytes: number;
}

/** How far one stream is stored. */
export interface OutputProgress extends StreamKey {
  /** Offset of the next byte that will be stored; all before it is durable. */
  readonly nextOffset: number;
  /** True when a chunk that did not begin there was refused. */
  readonly rewind: boolean;
}

/** A record of the output log. */
export interface OutputRecord extends StreamKey {
  /** Position behind this record. */
  readonly cursor: number;
  readonly agent: string;
  readonly offset: number;
  readonly timeMs: number;
  /** Empty for a gap. */
  readonly data: Uint8Array;
  /** Lost bytes; 0 for data. */
  readonly gapBytes: number;
}
