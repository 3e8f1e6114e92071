import { type IncomingMessage, request } from 'node:http';

/** A complete answer. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly text: string;
  /** The body as JSON. */
  json(): Record<string, unknown>;
}

/** What to send. Headers are sent as given, nothing is added but `Host`. */
export interface HttpAsk {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Buffer;
}

/** Sends a request to a local port. */
export function ask(
  port: number,
  { method = 'GET', path, headers = {}, body }: HttpAsk,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () => {
        const whole = Buffer.concat(chunks);
        const text = whole.toString();
        resolve({
          status: res.statusCode ?? 0,
          headers: res.headers,
          body: whole,
          text,
          json: () => JSON.parse(text),
        });
      });
    });
    req.on('error', reject);
    req.end(body);
  });
}

/** Opens a request and answers the response as soon as its headers are there. */
export function open(
  port: number,
  path: string,
  headers: Record<string, string> = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, agent: false }, resolve).on('error', reject).end();
  });
}

/** Posts JSON. */
export function postJson(port: number, path: string, value: unknown): Promise<HttpAnswer> {
  const body = typeof value === 'string' ? value : JSON.stringify(value);
  return ask(port, { method: 'POST', path, headers: { 'Content-Type': 'application/json' }, body });
}
