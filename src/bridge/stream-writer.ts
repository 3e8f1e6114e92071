import type { Metadata } from '@grpc/grpc-js';
import type { CallContext } from './call-context.js';
import type { GatewayError } from './gateway-error.js';
import { type HeaderList, headerText, metadataHeaders } from './metadata-out.js';
import { firstPart, renderError, respondError, writeHead } from './respond.js';
import { decodeMessage, rendered } from './unary.js';

/** Writes the messages of one stream to whoever asked for it. */
export interface StreamWriter {
  /** Whether nobody is there any more. */
  readonly gone: boolean;
  /** What the server sent ahead of its messages. */
  begin(metadata: Metadata): void;
  /** Writes a message; false when the client reads slower than it is sent. @throws when it has no JSON form. */
  message(bytes: Buffer): boolean;
  /** Ends the answer, after an error when one is given. */
  end(error: GatewayError | undefined): void;
  /** Calls back once there is room again. */
  onceDrained(fn: () => void): void;
  /** Calls back once the client is gone before the end. */
  onceGone(fn: () => void): void;
}

/** A writer into the answer of an HTTP request. */
export abstract class ResponseWriter implements StreamWriter {
  private metadata: Metadata | undefined;

  constructor(protected readonly ctx: CallContext) {}

  get gone(): boolean {
    return this.ctx.res.destroyed;
  }

  begin(metadata: Metadata): void {
    this.metadata = metadata;
  }

  abstract message(bytes: Buffer): boolean;
  abstract end(error: GatewayError | undefined): void;

  onceDrained(fn: () => void): void {
    this.ctx.res.once('drain', fn);
  }

  onceGone(fn: () => void): void {
    const { res } = this.ctx;
    res.once('close', () => {
      if (!res.writableFinished) fn();
    });
    if (res.destroyed) fn();
  }

  protected metadataHeaders(): HeaderList {
    return metadataHeaders(this.metadata, this.ctx.style.transportHeaders);
  }
}

/** One `{"result":…}` a line, as grpc-gateway writes streams. Headers go out with the first message. */
export class LineWriter extends ResponseWriter {
  override message(bytes: Buffer): boolean {
    const { method, responseBody } = this.ctx.binding;
    const answer = rendered(this.ctx, decodeMessage(method.output, bytes), responseBody, 'html');
    this.head(200, [['Content-Type', headerText(answer.contentType)], ...this.metadataHeaders()]);
    if (!answer.isRaw) return this.ctx.res.write(firstPart(this.ctx.res, `{"result":${answer.body}}\n`));
    return this.ctx.res.write(Buffer.concat([Buffer.from(answer.body), Buffer.from('\n')]));
  }

  override end(error: GatewayError | undefined): void {
    if (error === undefined) {
      this.head(200, this.metadataHeaders());
      this.ctx.res.end();
      return;
    }
    if (!this.ctx.res.headersSent && wasNeverOpened(error)) {
      respondError(this.ctx.req, this.ctx.res, this.ctx.style, error);
      return;
    }
    const { status, body } = renderError(error, this.ctx.style, 'html');
    this.head(status, [
      ['Content-Type', 'application/json'],
      ...metadataHeaders(error.metadata, this.ctx.style.transportHeaders),
    ]);
    this.ctx.res.end(firstPart(this.ctx.res, `{"error":${body}}\n`));
  }

  private head(status: number, headers: HeaderList): void {
    if (!this.ctx.res.headersSent) writeHead(this.ctx.res, status, [...this.ctx.style.headers, ...headers]);
  }
}

/** Whether a call failed before its server said anything: such a failure is answered as that of any other call. */
function wasNeverOpened({ code, metadata, trailers }: GatewayError): boolean {
  const isOurs = code === 4 || code === 14;
  return isOurs && metadata === undefined && Object.keys(trailers?.getMap() ?? {}).length === 0;
}
