import type { Metadata } from '@grpc/grpc-js';
import type { CallContext } from './call-context.js';
import type { GatewayError } from './gateway-error.js';
import { renderError, respondError, writeHead } from './respond.js';
import { END_ID, type Resume } from './resume.js';
import { isPosition, positionOf } from './stream-cursor.js';
import { ResponseWriter } from './stream-writer.js';
import { decodeMessage, rendered } from './unary.js';

/** So that proxies and browsers do not take a quiet stream for a dead one. */
const HEARTBEAT_MS = 15_000;
/** How long browsers wait before they connect again. */
const RETRY_MS = 2_000;
/** How long the headers wait for the first message, so that a call that fails at once has its own status. */
const HOLD_MS = 250;

/**
 * Server-sent events: each message as `data`, its position as `id`. A failure is an event `error` that holds the
 * status, the end an event `end`. Who comes back behind the end gets 204, which browsers take as "do not ask again".
 */
export class EventWriter extends ResponseWriter {
  private readonly hold: NodeJS.Timeout;
  private heartbeat: NodeJS.Timeout | undefined;
  private hasPosition: boolean;
  private start = '';

  constructor(
    ctx: CallContext,
    private readonly resume: Resume,
  ) {
    super(ctx);
    this.hasPosition = resume.kind === 'after';
    this.hold = setTimeout(() => this.open(), HOLD_MS);
    ctx.res.once('close', () => this.quiet());
  }

  /** The server may tell where the stream starts: who loses it before the first message comes back to there. */
  override begin(metadata: Metadata): void {
    super.begin(metadata);
    const [start] = metadata.get('stream-cursor');
    if (this.ctx.cursor === undefined || typeof start !== 'string' || !isPosition(start)) return;
    this.start = `id: ${start}\n\n`;
    this.hasPosition = true;
  }

  override message(bytes: Buffer): boolean {
    const { method, responseBody } = this.ctx.binding;
    const message = decodeMessage(method.output, bytes);
    const answer = rendered(this.ctx, message, responseBody, 'html');
    const position = this.ctx.cursor === undefined ? undefined : positionOf(message, this.ctx.cursor);
    this.hasPosition ||= position !== undefined;
    this.open();
    const id = position === undefined ? '' : `id: ${position}\n`;
    return this.ctx.res.write(`${id}${dataLines(textOf(answer))}\n`);
  }

  override end(error: GatewayError | undefined): void {
    const { req, res, style } = this.ctx;
    this.quiet();
    if (!res.headersSent && error !== undefined) {
      respondError(req, res, style, error);
      return;
    }
    if (!res.headersSent && this.resume.kind === 'after') {
      endOver(this.ctx);
      return;
    }
    this.open();
    this.quiet();
    if (error === undefined) res.end(`${this.hasPosition ? '' : `id: ${END_ID}\n`}event: end\ndata: {}\n\n`);
    else res.end(`event: error\n${dataLines(renderError(error, style, 'html').body)}\n`);
  }

  private open(): void {
    const { res, style } = this.ctx;
    clearTimeout(this.hold);
    if (res.headersSent || res.destroyed) return;
    writeHead(res, 200, [
      ...style.headers.filter(([name]) => name.toLowerCase() !== 'cache-control'),
      ['Content-Type', 'text/event-stream'],
      ['Cache-Control', 'no-store'],
      ['X-Accel-Buffering', 'no'],
      ...this.metadataHeaders(),
    ]);
    res.write(`retry: ${RETRY_MS}\n\n${this.start}`);
    this.heartbeat = setInterval(() => {
      if (!res.writableNeedDrain) res.write(': still here\n\n');
    }, HEARTBEAT_MS);
  }

  private quiet(): void {
    clearTimeout(this.hold);
    clearInterval(this.heartbeat);
  }
}

/** Tells a reader of events that nothing more comes. */
export function endOver({ res, style }: Pick<CallContext, 'res' | 'style'>): void {
  writeHead(res, 204, style.headers);
  res.end();
}

/** A text as the `data` lines of an event. */
function dataLines(text: string): string {
  return text
    .split(/\r\n|\r|\n/)
    .map((line) => `data: ${line}\n`)
    .join('');
}

/** JSON, or what a google.api.HttpBody holds: texts as they are, anything else as base64. */
function textOf({ contentType, body }: { contentType: string; body: string | Uint8Array }): string {
  if (typeof body === 'string') return body;
  const isText = /^(text\/|application\/json\b)/i.test(contentType);
  return Buffer.from(body).toString(isText ? 'utf8' : 'base64');
}
