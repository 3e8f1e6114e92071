import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { percentile } from '../support/rounds.js';
import { serve } from '../support/worker.js';

/** Requests that are all the same, over connections that stay open. */
export interface HttpLoad {
  readonly port: number;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
  readonly connections: number;
  readonly count: number;
}

/** How it went. */
export interface LoadResult {
  /** Requests per second. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One connection that sends a request when the answer to the one before is there. */
class Connection {
  private buffered: Buffer = Buffer.alloc(0);
  private sentMs = 0;

  constructor(
    private readonly socket: Socket,
    private readonly request: Buffer,
    /** Whether one more is to be sent. Called with the status of each answer and how long it took. */
    private readonly more: (status: number, ms: number) => boolean,
    done: (err?: Error) => void,
  ) {
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.receive(bytes));
    socket.on('error', done);
    socket.on('close', () => done());
    this.send();
  }

  private send(): void {
    this.sentMs = performance.now();
    this.socket.write(this.request);
  }

  private receive(bytes: Buffer): void {
    this.buffered = this.buffered.length === 0 ? bytes : Buffer.concat([this.buffered, bytes]);
    const end = endOfAnswer(this.buffered);
    if (end === undefined) return;
    const status = Number(this.buffered.toString('latin1', 9, 12));
    this.buffered = this.buffered.subarray(end);
    if (this.more(status, performance.now() - this.sentMs)) this.send();
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

async function load({ port, method, path, body, connections, count }: HttpLoad): Promise<LoadResult> {
  const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost:${port}\r\nContent-Type: application/json\r\n`;
  const request = Buffer.from(`${head}${length}\r\n${body ?? ''}`);
  const times: number[] = [];
  let [asked, answered] = [connections, 0];
  const bad = new Map<number, number>();
  const more = (status: number, ms: number) => {
    times.push(ms);
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
  return { rate: count / seconds, p50Ms: percentile(times, 50), p99Ms: percentile(times, 99) };
}

/** Lines of one streamed answer per second. @throws when there are not as many as expected. */
function lines({ port, path, count }: Pick<HttpLoad, 'port' | 'path' | 'count'>): Promise<number> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const asked = get({ host: '127.0.0.1', port, path, agent: false }, (res) => {
      let seen = 0;
      res.on('error', reject);
      res.on('data', (bytes: Buffer) => {
        for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) seen += 1;
      });
      res.on('end', () => {
        if (res.statusCode === 200 && seen === count) resolve((count * 1000) / (performance.now() - begin));
        else reject(new Error(`${res.statusCode} with ${seen} lines in place of ${count}`));
      });
    });
    asked.on('error', reject);
  });
}

/** Generates HTTP load. */
export const httpLoad = serve({ load, lines });

export type HttpLoadWorker = typeof httpLoad;
