import type { RawData, WebSocket } from 'ws';
import { CLOSE } from './socket-writer.js';

/**
 * The text frames of a client, one at a time: while one is in hand nothing more is read, so that a client that
 * sends faster than its messages are taken has to wait. An empty frame says that no more come.
 */
export class SocketReader {
  private readonly frames: string[] = [];
  private ended = false;
  private wake: () => void = () => {};

  constructor(private readonly socket: WebSocket) {
    socket.on('message', (data: RawData, isBinary: boolean) => this.receive(data, isBinary));
    socket.once('close', () => this.finish());
  }

  /** The next frame; undefined when no more come, or the client is gone. */
  async next(): Promise<string | undefined> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) return frame;
      if (this.ended) return undefined;
      if (this.socket.isPaused) this.socket.resume();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Reads on without keeping anything, so that pings and the client's goodbye are seen. */
  ignoreRest(): void {
    this.finish();
    this.socket.resume();
  }

  private receive(data: RawData, isBinary: boolean): void {
    if (this.ended) return;
    if (isBinary) {
      this.finish();
      this.socket.close(CLOSE.notText, 'send messages as JSON in text frames');
      return;
    }
    const text = data.toString();
    if (text === '') this.finish();
    else this.frames.push(text);
    if (this.frames.length > 0) this.socket.pause();
    this.wake();
  }

  private finish(): void {
    this.ended = true;
    this.wake();
  }
}
