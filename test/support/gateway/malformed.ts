import type { Random } from '../random.js';

/** What is sent on one connection. */
export interface Volley {
  readonly bytes: Buffer;
  /** How many requests it holds. */
  readonly requests: number;
  /** Methods of those that can be told from each other, to know which answers have no body. */
  readonly methods: readonly string[];
  /** Whether the server would wait for more: the sender is to say that there is none. */
  readonly isOpen: boolean;
}

/** What requests are made of before they are spoiled. */
export interface Seeds {
  /** Headers that let a request in, each with its line end. */
  readonly head: string;
  /** Routes whose calls end by themselves, whatever their parameters are. */
  readonly routes: readonly (readonly [method: string, path: string, body?: string])[];
  /** Paths that may become WebSockets. */
  readonly sockets: readonly string[];
}

/** Makes volleys of requests that are wrong somewhere; some are right by chance. */
export class Malformer {
  constructor(
    private readonly random: Random,
    private readonly seeds: Seeds,
  ) {}

  next(): Volley {
    const { random } = this;
    if (random.chance(0.1)) return this.brokenFrame();
    if (random.chance(0.01)) return this.handshake();
    const methods: string[] = [];
    const parts: Buffer[] = [];
    const isCut = random.chance(0.3);
    for (let left = random.int(8, 40); left > 0; left--) {
      const [method, bytes] = this.wellFramed(left === 1 && !isCut ? 'Connection: close\r\n' : '');
      methods.push(method);
      parts.push(bytes);
    }
    if (!isCut) return { bytes: Buffer.concat(parts), requests: parts.length, methods, isOpen: false };
    const { bytes } = this.brokenFrame();
    return { bytes: Buffer.concat([...parts, bytes]), requests: parts.length + 1, methods, isOpen: true };
  }

  /** A request that HTTP can tell from the next, with something wrong inside. */
  private wellFramed(more: string): [method: string, bytes: Buffer] {
    const { random } = this;
    const [method, path, body] = random.pick(this.seeds.routes);
    // What is refused before its body is read ends the connection, and with it what stands behind.
    const mayEnd = body === undefined ? 0.5 : 0.04;
    const spoilPath = random.chance(mayEnd);
    const spoilBody = body !== undefined && random.chance(0.9);
    const target = spoilPath ? this.spoiledTarget(path) : path;
    const spoiled = spoilBody ? this.spoiledJson(body) : Buffer.from(body ?? '');
    const headers = more + (random.chance(mayEnd) ? this.spoiledHeaders() : '');
    const { head } = this.seeds;
    const type = body === undefined ? '' : 'Content-Type: application/json\r\n';
    if (random.chance(0.3)) {
      const first = Buffer.from(
        `${method} ${target} HTTP/1.1\r\n${head}${type}${headers}Transfer-Encoding: chunked\r\n\r\n`,
        'latin1',
      );
      return [method, Buffer.concat([first, this.chunked(spoiled)])];
    }
    const length = `Content-Length: ${spoiled.length}\r\n`;
    const first = Buffer.from(
      `${method} ${target} HTTP/1.1\r\n${head}${type}${headers}${length}\r\n`,
      'latin1',
    );
    return [method, Buffer.concat([first, spoiled])];
  }

  private chunked(body: Buffer): Buffer {
    const parts: Buffer[] = [];
    for (let at = 0; at < body.length; ) {
      const size = this.random.int(1, Math.max(1, body.length));
      const piece = body.subarray(at, at + size);
      parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
      at += size;
    }
    return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
  }

  private spoiledJson(json: string): Buffer {
    const { random } = this;
    const at = random.int(0, json.length);
    const whole = Buffer.from(json);
    switch (random.int(0, 7)) {
      case 0:
        return whole.subarray(0, at);
      case 1:
        return Buffer.from(json.slice(0, at) + random.pick(PIECES) + json.slice(at));
      case 2:
        return Buffer.from(json.slice(0, at) + random.pick(PIECES) + json.slice(at + random.int(1, 5)));
      case 3:
        return Buffer.concat([whole.subarray(0, at), this.bytes(random.int(1, 6)), whole.subarray(at)]);
      case 4:
        return Buffer.from(random.pick(DEEP).repeat(random.int(1, random.chance(0.01) ? 100_000 : 100)));
      case 5:
        return Buffer.from(json.replace(/(?<=:)("[^"]*"|\d+)/, () => random.pick(VALUES)));
      case 6:
        return this.bytes(random.int(0, 60));
      default:
        return Buffer.from(random.pick(ENCODED), 'latin1');
    }
  }

  private spoiledTarget(path: string): string {
    const { random } = this;
    const at = random.int(1, path.length);
    switch (random.int(0, 6)) {
      case 0:
        return path.slice(0, at) + this.escape() + path.slice(at);
      case 1:
        return `${path}${path.includes('?') ? '&' : '?'}${this.query()}`;
      case 2:
        return `${path}?${Array.from({ length: random.int(1, 300) }, () => `${random.pick(KEYS)}=1`).join('&')}`;
      case 3:
        return `/${this.escape().repeat(random.int(1, 400))}`;
      case 4:
        return random.pick(TARGETS);
      case 5:
        return (
          path.slice(0, at) +
          String.fromCharCode(random.int(0x26, random.chance(0.9) ? 0x7e : 0xff)) +
          path.slice(at)
        );
      default:
        return path + '/x'.repeat(random.int(1, 1000));
    }
  }

  /** Escapes that are none end the connection. */
  private escape(): string {
    return this.random.pick(this.random.chance(0.1) ? BAD_ESCAPES : ESCAPES);
  }

  private query(): string {
    const { random } = this;
    const pair = () => `${random.pick(KEYS)}${random.pick(ENDS)}=${random.pick(TEXTS)}`;
    return Array.from({ length: random.int(1, 5) }, pair).join(random.pick(['&', '&', ';', '&&']));
  }

  private spoiledHeaders(): string {
    const { random } = this;
    return Array.from({ length: random.int(1, 4) }, () => `${random.pick(HEADERS)}\r\n`).join('');
  }

  /** Something after which HTTP cannot go on, or never ends. */
  private brokenFrame(): Volley {
    const { random } = this;
    const [known, path, body = '{}'] = random.pick(this.seeds.routes);
    const method = known === 'HEAD' ? 'GET' : known;
    const head = `${method} ${path} HTTP/1.1\r\n${this.seeds.head}`;
    const whole = `${head}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const shapes: (() => string | Buffer)[] = [
      () => whole.slice(0, random.int(1, whole.length - 1)),
      () => `${head}Content-Length: ${body.length + random.int(1, 1000)}\r\n\r\n${body}`,
      () => `${head}Content-Length: ${random.pick(LENGTHS)}\r\n\r\n${body}`,
      () => `${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      () => `${head}Transfer-Encoding: ${random.pick(CODINGS)}\r\n\r\n0\r\n\r\n`,
      () => `${head}Transfer-Encoding: chunked\r\n\r\n${random.pick(CHUNKS)}`,
      () => `${head}${random.pick(BAD_HEADERS)}\r\n\r\n`,
      () => whole.replaceAll('\r\n', random.pick(['\n', '\r', '\n\r', '\0\r\n'])),
      () => `${random.pick(METHODS)} ${path} HTTP/${random.pick(VERSIONS)}\r\n${this.seeds.head}\r\n`,
      () => this.bytes(random.int(1, 300)),
      () => `${head}X: ${'x'.repeat(random.int(16_000, 70_000))}\r\n\r\n`,
      () => {
        const bytes = Buffer.from(whole);
        bytes[random.int(0, bytes.length - 1)] = random.int(0, 255);
        return bytes;
      },
    ];
    return { bytes: Buffer.from(random.pick(shapes)()), requests: 1, methods: [], isOpen: true };
  }

  private handshake(): Volley {
    const { random } = this;
    const lines = [
      `${random.pick(['GET', 'GET', 'POST'])} ${random.pick(this.seeds.sockets)} HTTP/1.1`,
      'Host: localhost',
      `Connection: ${random.pick(['Upgrade', 'upgrade, close', 'keep-alive'])}`,
      `Upgrade: ${random.pick(['websocket', 'WebSocket, x', 'h2c', ''])}`,
      `Sec-WebSocket-Version: ${random.pick(['13', '13', '8', 'x', ''])}`,
      `Sec-WebSocket-Key: ${random.pick(['dGhlIHNhbXBsZSBub25jZQ==', 'short', '', '!'.repeat(24)])}`,
      `Sec-WebSocket-Protocol: ${random.pick(['a,b', ',', 'x'.repeat(2000), 'a,a'])}`,
      `Origin: ${random.pick(['http://localhost', 'null', 'x'])}`,
    ];
    const kept = lines.filter((_, i) => i < 2 || random.chance(0.9));
    const frames = this.bytes(random.int(0, 40));
    return {
      bytes: Buffer.concat([Buffer.from(`${kept.join('\r\n')}\r\n\r\n`), frames]),
      requests: 1,
      methods: [],
      isOpen: true,
    };
  }

  private bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.random.int(0, 255)));
  }
}

const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  '\\',
  '\\u',
  '\\ud800',
  '\\x41',
  '\0',
  '\t',
  '\u2028',
  '//',
  "'",
  '1e',
  '-',
  'null',
  '""',
];
const DEEP = [
  '[',
  '{"a":',
  '{"nested":{"child":',
  '[[',
  '"',
  '\\',
  '{"child":',
  '9',
  ' ',
  '{}',
  '{"st":{"a":[',
  '0',
];
const VALUES = [
  '1e999',
  '-1e999',
  '1e-999',
  `${'9'.repeat(400)}`,
  `"${'9'.repeat(2000)}"`,
  '-0',
  '01',
  '+1',
  '.5',
  '0x1',
  'NaN',
  'Infinity',
  'true',
  'null',
  '[]',
  '{}',
  '"\\ud83d"',
  '"\\u0000"',
  `"${'\\\\'.repeat(500)}"`,
  '"\u007f"',
  '18446744073709551616',
  '{"__proto__":1}',
  `"${'é'.repeat(300)}"`,
];
const ENCODED = [
  '\xef\xbb\xbf{}',
  '\xff\xfe{\0}\0',
  '{"s":"\xc3\x28"}',
  '{"s":"\xed\xa0\x80"}',
  '\x1f\x8b\x08\0',
  '{"s":"\xf5\x80\x80\x80"}',
  '{"s":"\xc0\x80"}',
];
const BAD_ESCAPES = ['%', '%z', '%zz', '%4', '%u1234', '%%'];
const ESCAPES = [
  '%00',
  '%0a',
  '%ff',
  '%c3%28',
  '%2f',
  '%2F',
  '%25',
  '%ed%a0%80',
  '..',
  '/..',
  '//',
  '/./',
  ':',
  ':x',
  '*',
  '**',
  '{x}',
  '\\',
  '^',
  '|',
  ';',
  '+',
];
const TARGETS = [
  '*',
  '/',
  '//',
  '/:',
  '/%2e%2e/%2e%2e/etc/passwd',
  'http://x/v1/nop',
  'http://',
  'https://a:b@c:99999/v1/nop?x#y',
  'x',
  '?',
  '#',
  '/v1/nop?',
  '/v1/nop#f',
  '/?%',
  '/v1/one/',
  '/v1/deep',
  '/v1/files/:raw',
  '/%ff',
  'file:///etc/passwd',
  '/v1/one/%00',
];
const KEYS = [
  'id',
  'i32',
  'i64',
  'u64',
  'f',
  'b',
  'by',
  'color',
  'nested',
  'rs',
  'rc',
  'rn',
  'mss',
  'min',
  'msi',
  'mbs',
  'ts',
  'dur',
  'mask',
  'wsv',
  'wi64',
  'st',
  'val',
  'any',
  'lv',
  'nul',
  'emp',
  'o_str',
  'oMsg',
  'opt_s',
  'agent',
  'states',
  'pageSize',
  '__proto__',
  'constructor',
  '%00',
  '%ff',
  '',
];
const ENDS = [
  '',
  '',
  '.name',
  '.child.child.child.name',
  '.seconds',
  '.value',
  '[a]',
  '[',
  ']',
  '[]',
  '[1].name',
  '.',
  '..',
  '.fields[a]',
  `${'.child'.repeat(200)}`,
];
const TEXTS = [
  '',
  'x',
  '1',
  '-1',
  '1e3',
  '0x10',
  '9'.repeat(100),
  '%zz',
  '%ff',
  '%00',
  'true',
  'RED',
  '1s',
  '1h',
  '2026-01-01T00:00:00Z',
  '{',
  '{"a":1}',
  '[[[[',
  'AQ==',
  'a,b',
  'a=b',
  '%F0%9F%92%A3',
  '+',
  "'",
];
const HEADERS = [
  'Grpc-Timeout: 5',
  'Grpc-Timeout: 1n',
  'Grpc-Timeout: -1S',
  'Grpc-Timeout: 0S',
  `Grpc-Timeout: ${'9'.repeat(50)}H`,
  'Grpc-Metadata-: x',
  'Grpc-Metadata-X-Bin: !!',
  'Grpc-Metadata-X-Bin: AQI=',
  'Grpc-Metadata-Grpc-Status: 0',
  'Grpc-Metadata-:path: /x',
  'Grpc-Metadata-A b: c',
  'Grpc-Metadata-Te: x',
  'Grpc-Metadata-Content-Type: x',
  'TE: trailers',
  'Accept: text/event-stream',
  'Accept: application/json+pretty',
  'Accept: \xff',
  'Last-Event-ID: \xff',
  `Last-Event-ID: ${'x'.repeat(500)}`,
  'Expect: 100-continue',
  'Content-Encoding: gzip',
  'Content-Type: application/x-www-form-urlencoded',
  'X-HTTP-Method-Override: DELETE',
  'X-HTTP-Method-Override: \xe9',
  'Cookie: \x80\x81',
  'Authorization: Bearer',
  'Authorization: Basic !!',
  'Authorization: Bearer \xff',
  'X-Forwarded-For: \xff, 1',
  'X-Forwarded-Host: \x80',
  'Origin: null',
  'Origin: http://evil.example',
  'Connection: x',
  'Range: bytes=5-1',
  'Idempotency-Key: \xff',
  'If-None-Match: *',
  'Upgrade: x',
  `X-Long: ${'y'.repeat(4000)}`,
  'Sec-Fetch-Site: cross-site',
  'Access-Control-Request-Method: POST',
  'Empty:',
];
const BAD_HEADERS = [
  'A b: c',
  'A: b\0c',
  ': x',
  'A : b',
  ' A: b',
  'A: b\r c',
  'no colon',
  '\x7f: x',
  'Content-Length: 1\r\nContent-Length: 2',
  'Transfer-Encoding:',
  'Host: a\r\nHost: b\r\nConnection: close',
  'Expect: x',
];
const LENGTHS = [
  '-1',
  '+1',
  '0x5',
  '1e3',
  '1,1',
  '1 1',
  '',
  'x',
  '99999999999999999999',
  '9007199254740993',
  '9000000',
  '00000000000000000000005',
];
const CODINGS = [
  'gzip',
  'chunked, chunked',
  'chunked, gzip',
  'identity',
  'xchunked',
  ' chunked',
  'CHUNKED',
  '\x0bchunked',
  'chunked;q=1',
];
const CHUNKS = [
  'zz\r\n',
  '-1\r\n',
  '5\r\nabc',
  '5\r\nabcdefgh\r\n0\r\n\r\n',
  'fffffffffffffffff\r\n',
  '1\nx\n0\n\n',
  '1;a=b\r\nx\r\n0\r\nA: b\r\n\r\n',
  '0\r\nContent-Length: 5\r\n\r\n',
  '\r\n',
  '1 \r\nx\r\n0\r\n\r\n',
  `1;${'x'.repeat(20_000)}\r\nx\r\n`,
  '0x1\r\nx\r\n0\r\n\r\n',
  '0\r\n',
];
const METHODS = [
  'FOO',
  'get',
  'GE T',
  'PROPFIND',
  'CONNECT',
  'TRACE',
  'OPTIONS',
  'M-SEARCH',
  '\x01',
  'G\xcbT',
  'PRI',
  '',
];
const VERSIONS = ['1.1', '1.0', '2.0', '0.9', '1.2', '11', '', 'x', '1.1 x'];
