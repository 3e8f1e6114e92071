import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { packageRoot } from '../../../src/base/package-root.js';
import type { UnescapingMode } from '../../../src/bridge/unescaping.js';

/** A request sent to a real grpc-gateway and what it answered, byte for byte. */
export interface RecordedCase {
  readonly name: string;
  readonly req: string;
  readonly res: string;
  /** How paths were unescaped; `legacy` when it is left out. */
  readonly mode?: UnescapingMode;
}

/** An answer without what may differ: white space between tokens, texts of errors, headers of the transport. */
export interface NormalAnswer {
  readonly status: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

/** The recorded cases of a file. */
export function recordedCases(name = 'cases'): RecordedCase[] {
  const text = readFileSync(join(packageRoot(), `test/fixtures/gateway/${name}.jsonl`), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line): RecordedCase => JSON.parse(line));
}

/** Sends raw bytes to a local port and answers all that comes back until the peer closes. */
export function sendRaw(port: number, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    const finish = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks));
    };
    socket.setTimeout(4000, finish);
    socket
      .on('data', (chunk) => chunks.push(chunk))
      .on('end', finish)
      .on('error', finish)
      .on('close', finish);
  });
}

/** Takes an HTTP/1.1 answer apart. */
export function normalize(received: Buffer): NormalAnswer {
  const answer = withoutContinue(received);
  const split = answer.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = answer.toString('latin1', 0, Math.max(split, 0)).split('\r\n');
  const after = answer.subarray(split + 4);
  const chunked = lines.some((line) => /^transfer-encoding:.*chunked/i.test(line));
  const { body, trailers } = chunked ? dechunk(after) : { body: after, trailers: [] };
  const isJson = lines.some((line) => /^content-type:\s*application\/json/i.test(line));
  const headers = headerSet(lines).map((header) => header.replace(/^(www-authenticate): .*/, '$1: …'));
  return { status: statusLine.split(' ')[1] ?? 'none', headers, body: normalBody(body, isJson), trailers };
}

/** The answer proper, behind those that only say that a body may come. */
function withoutContinue(answer: Buffer): Buffer {
  if (!answer.toString('latin1', 0, 12).startsWith('HTTP/1.1 100')) return answer;
  return withoutContinue(answer.subarray(answer.indexOf('\r\n\r\n') + 4));
}

const IGNORED = new Set(
  `date content-length transfer-encoding connection keep-alive trailer grpc-metadata-content-type grpc-metadata-date
  grpc-metadata-grpc-accept-encoding grpc-metadata-x-b-bin grpc-trailer-grpc-status-details-bin`.split(/\s+/),
);
const BACKEND_ONLY = /^(:authority|content-type|user-agent|grpc-accept-encoding|accept-encoding|te)=/;

function normalBody(body: Buffer, isJson: boolean): string {
  const text = body.toString('utf8');
  if (!isJson) return text;
  const plain = stripSpace(text).replace(/("code":\d+),"message":"(?:[^"\\]|\\.)*"/g, '$1,"message":…');
  if (!plain.startsWith('{"md":[')) return plain;
  const { md } = JSON.parse(plain) as { md: string[] };
  return `md ${JSON.stringify(md.filter((entry) => !BACKEND_ONLY.test(entry)))}`;
}

/** Takes out white space outside strings; the order of keys and the spelling of numbers stay. */
function stripSpace(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|[ \t\r]+/g, (token) => (token.startsWith('"') ? token : ''));
}

function headerSet(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.includes(':'))
    .map(
      (line) =>
        [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()] as const,
    )
    .filter(([name]) => !IGNORED.has(name))
    .map(([name, value]) => `${name}: ${value}`)
    .sort();
}

function dechunk(buffer: Buffer): { body: Buffer; trailers: string[] } {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const eol = buffer.indexOf('\r\n', at);
    const size = eol < 0 ? Number.NaN : Number.parseInt(buffer.toString('latin1', at, eol), 16);
    if (!Number.isFinite(size)) return { body: Buffer.concat(parts), trailers: ['unfinished'] };
    at = eol + 2;
    if (size === 0)
      return { body: Buffer.concat(parts), trailers: headerSet(buffer.toString('latin1', at).split('\r\n')) };
    parts.push(buffer.subarray(at, at + size));
    at += size + 2;
  }
}
