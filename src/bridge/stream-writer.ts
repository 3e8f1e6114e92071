import type { Metadata } from '@grpc/grpc-js';
import type { CallContext } from './call-context.js';
import type { GatewayError } from './gateway-error.js';
import { type HeaderList, metadataHeaders } from './metadata-out.js';
import { renderError, writeHead } from './respond.js';
import { decodeMessage, rendered } from './unary.js';

const HEARTBEAT_MS = 15_000;

/** Writes the messages of one stream into one answer. */
export interface StreamWriter {
  /** Writes a message; false when the client reads slower than it is sent. */
  message(bytes: Buffer, metadata: Metadata | undefined): boolean;
  /** Ends the answer, after an error when one is given. */
  end(error: GatewayError | undefined): void;
}

/** The writer that the client asked for: server-sent events by `Accept: text/event-stream`, else JSON lines. */
export function createStreamWriter(ctx: CallContext): StreamWriter {
  const accepts = (ctx.req.headers.accept ?? '').split(',').map((type) => type.split(';')[0]?.trim());
  return accepts.includes('text/event-stream') ? new EventWriter(ctx) : new LineWriter(ctx);
}

/** One `{"result":…}` a line, as grpc-gateway writes streams. Headers go out with the first message. */
class LineWriter implements StreamWriter {
  constructor(private readonly ctx: CallContext) {}

  message(bytes: Buffer, metadata: Metadata | undefined): boolean {
    const { method, responseBody } = this.ctx.binding;
    const answer = rendered(this.ctx, decodeMessage(method.output, bytes), responseBody, 'html');
    this.head(200, [['Content-Type', answer.contentType], ...metadataHeaders(metadata)]);
    if (!answer.isRaw) return this.ctx.res.write(`{"result":${answer.body}}\n`);
    return this.ctx.res.write(Buffer.concat([Buffer.from(answer.body), Buffer.from('\n')]));
  }

  end(error: GatewayError | undefined): void {
    if (error === undefined) {
      this.head(200, []);
      this.ctx.res.end();
      return;
    }
    const { status, body } = renderError(error, this.ctx.style, 'html');
    this.head(status, [['Content-Type', 'application/json'], ...metadataHeaders(error.metadata)]);
    this.ctx.res.end(`{"error":${body}}\n`);
  }

  private head(status: number, headers: HeaderList): void {
    if (!this.ctx.res.headersSent) writeHead(this.ctx.res, status, [...this.ctx.style.headers, ...headers]);
  }
}

/** Server-sent events: the message alone as `data`, errors as event `error`. Headers go out at once. */
class EventWriter implements StreamWriter {
  private readonly heartbeat: NodeJS.Timeout;

  constructor(private readonly ctx: CallContext) {
    writeHead(ctx.res, 200, [
      ...ctx.style.headers.filter(([name]) => name.toLowerCase() !== 'cache-control'),
      ['Content-Type', 'text/event-stream'],
      ['Cache-Control', 'no-store'],
      ['X-Accel-Buffering', 'no'],
    ]);
    ctx.res.flushHeaders();
    this.heartbeat = setInterval(() => ctx.res.write(': still here\n\n'), HEARTBEAT_MS);
    ctx.res.once('close', () => clearInterval(this.heartbeat));
  }

  message(bytes: Buffer): boolean {
    const { method, responseBody } = this.ctx.binding;
    const { body } = rendered(this.ctx, decodeMessage(method.output, bytes), responseBody, 'html');
    return this.ctx.res.write(
      `data: ${typeof body === 'string' ? body : Buffer.from(body).toString('base64')}\n\n`,
    );
  }

  end(error: GatewayError | undefined): void {
    clearInterval(this.heartbeat);
    const last =
      error === undefined ? '' : `event: error\ndata: ${renderError(error, this.ctx.style, 'html').body}\n\n`;
    this.ctx.res.end(last);
  }
}
