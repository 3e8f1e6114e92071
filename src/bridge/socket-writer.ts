import type { WebSocket } from 'ws';
import type { Binding } from './bindings.js';
import type { GatewayError } from './gateway-error.js';
import { type ResponseStyle, renderError } from './respond.js';
import type { StreamWriter } from './stream-writer.js';
import { decodeMessage, rendered } from './unary.js';

/** Bytes that may wait for a client that reads slowly. */
const HIGH_WATER = 256 * 1024;
/** Bytes that a close frame has for its reason. */
const REASON_BYTES = 123;
/** Close codes of failures: this and the gRPC code. */
const FAILURE = 4000;

/** Close codes besides those of failures. */
export const CLOSE = { done: 1000, stopping: 1001, notText: 1003 } as const;

/** Writes a stream into a WebSocket: a text frame `{"result":…}` a message, `{"error":…}` for a failure. */
export class SocketWriter implements StreamWriter {
  private readonly waiting: (() => void)[] = [];

  constructor(
    private readonly socket: WebSocket,
    private readonly binding: Binding,
    private readonly style: ResponseStyle,
  ) {}

  get gone(): boolean {
    return this.socket.readyState !== this.socket.OPEN;
  }

  /** A page sees no headers of a WebSocket. */
  begin(): void {}

  message(bytes: Buffer): boolean {
    const { method, responseBody } = this.binding;
    const answer = rendered({ style: this.style }, decodeMessage(method.output, bytes), responseBody, 'html');
    this.send(answer.isRaw ? answer.body : `{"result":${answer.body}}`);
    return this.socket.bufferedAmount < HIGH_WATER;
  }

  end(error: GatewayError | undefined): void {
    if (error === undefined) {
      this.close(CLOSE.done, '');
      return;
    }
    this.send(`{"error":${renderError(error, this.style, 'html').body}}`);
    this.close(FAILURE + (error.code <= 16 ? error.code : 2), error.message);
  }

  /** Ends the connection for a reason that is no status of a call. */
  close(code: number, reason: string): void {
    // The peer's goodbye must be read, also when its messages were not.
    this.socket.resume();
    this.socket.close(code, cut(reason));
  }

  onceDrained(fn: () => void): void {
    this.waiting.push(fn);
  }

  onceGone(fn: () => void): void {
    this.socket.once('close', fn);
    if (this.gone) fn();
  }

  private send(data: string | Uint8Array): void {
    this.socket.send(data, () => this.sent());
  }

  private sent(): void {
    if (this.socket.bufferedAmount >= HIGH_WATER / 2) return;
    for (const fn of this.waiting.splice(0)) fn();
  }
}

/** A reason as long as a close frame may hold, whole characters only. */
function cut(reason: string): string {
  let text = reason.slice(0, REASON_BYTES);
  while (Buffer.byteLength(text) > REASON_BYTES) text = text.slice(0, -1);
  return text.replace(/[\ud800-\udbff]$/, '');
}
