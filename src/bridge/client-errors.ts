import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { hangUp } from './linger.js';
import type { WaitingAnswers } from './waiting-answers.js';

/** Requests whose bodies may take as long as they like: those that are streams. */
const streams = new WeakSet<IncomingMessage>();

/** Takes a request out of the limit of time for a whole request. */
export function allowLongBody(req: IncomingMessage): void {
  streams.add(req);
}

/**
 * Answers what never becomes a request that a listener sees, in the same JSON form as every other error: what Node's
 * parser refuses, what comes too slowly, `CONNECT`, and expectations other than `100-continue`.
 */
export function answerClientErrors(server: Server, waiting: WaitingAnswers): void {
  const refusals = new Refusals(waiting);
  server.on('clientError', (err, socket) => refusals.clientError(err, socket));
  server.on('connect', (_req, socket) => refusals.refuse(socket, BAD_TARGET));
  server.on('checkExpectation', (_req, res) => answerRow(res, BAD_EXPECTATION));
}

/** Why a request that Node's parser let pass is refused: what stands between its head and its body is not sure. */
export function refusalOf({ httpVersion, headers }: IncomingMessage): ClientErrorRow | undefined {
  if (httpVersion === '1.1' && headers.host === undefined) return NO_HOST;
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (httpVersion === '1.0') return BAD_REQUEST;
  return coding.toLowerCase() === 'chunked' ? undefined : BAD_CODING;
}

/** Answers a request with one of the errors of HTTP itself. */
export function answerRow(res: ServerResponse, [status, code, message]: ClientErrorRow): void {
  res.writeHead(Number.parseInt(status, 10), HEADERS).end(bodyOf(code, message));
}

class Refusals {
  private readonly refused = new WeakSet<Duplex>();

  constructor(private readonly waiting: WaitingAnswers) {}

  clientError(err: NodeJS.ErrnoException, socket: Duplex): void {
    const { code = '' } = err;
    // The parser says so again for all that comes behind the error.
    if (this.refused.has(socket) || code === 'HPE_CLOSED_CONNECTION') return;
    if (code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const open = this.waiting.of(socket);
    const broken = open.find((res) => !res.req.complete);
    const isLate = code === 'ERR_HTTP_REQUEST_TIMEOUT';
    if (isLate && broken !== undefined && streams.has(broken.req)) return;
    this.refused.add(socket);
    // Nothing may be written into an answer that has begun.
    if (broken?.headersSent) socket.destroy();
    else this.refuseBehind(open, broken, socket, CLIENT_ERRORS[code] ?? BAD_REQUEST);
  }

  /** The requests in front of the bad one get their answers first. */
  private refuseBehind(
    open: readonly ServerResponse[],
    broken: ServerResponse | undefined,
    socket: Duplex,
    row: ClientErrorRow,
  ): void {
    const before = open.find((res) => res !== broken && !res.closed);
    if (before !== undefined) before.once('close', () => this.refuseBehind(open, broken, socket, row));
    else if (broken?.headersSent) hangUp(socket);
    else this.refuse(socket, row);
  }

  refuse(socket: Duplex, [status, code, message]: ClientErrorRow): void {
    this.refused.add(socket);
    if (!socket.writable) return;
    const body = bodyOf(code, message);
    const head = Object.entries(HEADERS).map(([name, value]) => `${name}: ${value}\r\n`);
    hangUp(
      socket,
      `HTTP/1.1 ${status}\r\n${head.join('')}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
}

/** An error of HTTP itself: status line, gRPC code and text. */
export type ClientErrorRow = readonly [status: string, code: number, message: string];

const HEADERS = { 'Content-Type': 'application/json', Connection: 'close' };

function bodyOf(code: number, message: string): string {
  return JSON.stringify({ code, message, details: [] });
}

const NO_HOST: ClientErrorRow = ['400 Bad Request', 3, 'the request has no Host header'];

const BAD_REQUEST: ClientErrorRow = ['400 Bad Request', 3, 'the request is not valid HTTP'];
/** As grpc-gateway answers paths that do not begin with "/". */
const BAD_TARGET: ClientErrorRow = ['400 Bad Request', 3, 'Bad Request'];
const BAD_CODING: ClientErrorRow = ['501 Not Implemented', 12, 'Transfer-Encoding may only be "chunked"'];
const BAD_EXPECTATION: ClientErrorRow = ['417 Expectation Failed', 3, 'Expect may only be "100-continue"'];

const CLIENT_ERRORS: Readonly<Record<string, ClientErrorRow>> = {
  HPE_INVALID_METHOD: ['501 Not Implemented', 12, 'Method Not Allowed'],
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 3, 'the head of the request is too large'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ['413 Payload Too Large', 8, 'the chunk extensions are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 4, 'the request took too long to arrive'],
};
