import { connect } from 'node:net';
import type { Volley } from './malformed.js';

/** A complete answer. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: string;
  readonly body: string;
}

/** What became of a connection. */
export interface Outcome {
  readonly answers: readonly RawAnswer[];
  /** Whether it was open when the time was over. */
  readonly hung: boolean;
}

/**
 * Sends a volley on a connection of its own and reads until the server closes it. What is open at its end is said to
 * be over once the requests before it are answered: a server gives up what it has in hand for who is gone.
 */
export function sendVolley(
  port: number,
  { bytes, methods, isOpen }: Volley,
  limitMs: number,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let hung = false;
    const answers = () => readAnswers(Buffer.concat(chunks), methods);
    const endWhenAnswered = () => {
      if (isOpen && answers().length >= methods.length) socket.end();
    };
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
      socket.write(bytes, endWhenAnswered),
    );
    const timer = setTimeout(() => {
      hung = true;
      socket.destroy();
    }, limitMs);
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      endWhenAnswered();
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ answers: answers(), hung });
    });
  });
}

/** Takes the answers of a connection apart; one that is not complete is left out. */
export function readAnswers(bytes: Buffer, methods: readonly string[]): RawAnswer[] {
  const answers: RawAnswer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at);
    if (end < 0) break;
    const headers = bytes.toString('latin1', at, end);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(headers)?.[1] ?? Number.NaN);
    at = end + 4;
    if (status === 100) continue;
    const hasNone = methods[answers.length] === 'HEAD' || status === 204 || status === 304 || status === 101;
    const read = hasNone ? { body: '', next: at } : readBody(bytes, at, headers);
    if (read === undefined) break;
    answers.push({ status, headers, body: read.body });
    at = read.next;
  }
  return answers;
}

function readBody(bytes: Buffer, from: number, headers: string): { body: string; next: number } | undefined {
  const length = /\r\ncontent-length: (\d+)/i.exec(headers)?.[1];
  if (length !== undefined) {
    const next = from + Number(length);
    return next > bytes.length ? undefined : { body: bytes.toString('utf8', from, next), next };
  }
  if (!/\r\ntransfer-encoding: chunked/i.test(headers)) {
    return { body: bytes.toString('utf8', from), next: bytes.length };
  }
  const parts: string[] = [];
  for (let at = from; ; ) {
    const eol = bytes.indexOf('\r\n', at);
    const size = eol < 0 ? Number.NaN : Number.parseInt(bytes.toString('latin1', at, eol), 16);
    if (Number.isNaN(size)) return undefined;
    if (size === 0) {
      const end = bytes.indexOf('\r\n\r\n', eol);
      return end < 0 ? undefined : { body: parts.join(''), next: end + 4 };
    }
    parts.push(bytes.toString('utf8', eol + 2, eol + 2 + size));
    at = eol + 2 + size + 2;
  }
}
