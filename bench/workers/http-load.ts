import { connect, type Socket } from 'node:net';
import { serve } from '../support/worker.js';

/** POST requests with the same body over connections that stay open. */
export interface HttpLoad {
  readonly port: number;
  readonly path: string;
  readonly body: string;
  readonly connections: number;
  readonly count: number;
}

/** One connection that sends a request when the answer to the one before is there. */
class Connection {
  private buffered: Buffer = Buffer.alloc(0);

  constructor(
    private readonly socket: Socket,
    private readonly request: Buffer,
    /** Whether one more is to be sent. Called with the status of each answer. */
    private readonly more: (status: number) => boolean,
    done: (err?: Error) => void,
  ) {
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('error', done);
    socket.on('close', () => done());
    socket.write(request);
  }

  private receive(bytes: Buffer): void {
    this.buffered = this.buffered.length === 0 ? bytes : Buffer.concat([this.buffered, bytes]);
    const end = endOfAnswer(this.buffered);
    if (end === undefined) return;
    const status = Number(this.buffered.toString('latin1', 9, 12));
    this.buffered = this.buffered.subarray(end);
    if (this.more(status)) this.socket.write(this.request);
    else this.socket.destroy();
  }
}

/** Where the first answer ends; undefined while it is not complete. */
function endOfAnswer(bytes: Buffer): number | undefined {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const text = bytes.toString('latin1', 0, head);
  const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
  if (length !== undefined) {
    const end = head + 4 + Number(length);
    return bytes.length >= end ? end : undefined;
  }
  const last = bytes.indexOf('\r\n0\r\n\r\n', head + 2);
  return last < 0 ? undefined : last + 7;
}

async function load({ port, path, body, connections, count }: HttpLoad): Promise<number> {
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\n`;
  const request = Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  let [asked, answered] = [connections, 0];
  const bad = new Map<number, number>();
  const more = (status: number) => {
    answered += 1;
    if (status !== 200) bad.set(status, (bad.get(status) ?? 0) + 1);
    asked += 1;
    return asked <= count;
  };
  const begin = performance.now();
  const one = () =>
    new Promise<void>((resolve, reject) => {
      new Connection(connect(port, '127.0.0.1'), request, more, (err) => (err ? reject(err) : resolve()));
    });
  await Promise.all(Array.from({ length: connections }, one));
  const seconds = (performance.now() - begin) / 1000;
  if (answered < count || bad.size > 0)
    throw new Error(`${answered} of ${count} requests were answered; not 200: ${JSON.stringify([...bad])}`);
  return count / seconds;
}

/** Generates HTTP load; answers requests per second. */
export const httpLoad = serve({ post: load });

export type HttpLoadWorker = typeof httpLoad;
