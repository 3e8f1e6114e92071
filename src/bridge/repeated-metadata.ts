import http2 from 'node:http2';

/** Headers that gRPC reads itself; they stay as Node.js gives them. */
const PROTOCOL = /^(:|content-type$|grpc-(status|message|encoding|accept-encoding|status-details-bin)$)/;

type Headers = http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader;

/**
 * Keeps every value of metadata that a server sends several times under one key.
 *
 * Node.js joins values of one header with ", " (and drops all but the first of some headers), so a client of grpc-js
 * sees one value where the server sent two, and cannot tell it from one value with a comma in it. The headers as
 * received are handed to `response` and `trailers` too, behind the joined ones; here they are put back as lists,
 * which grpc-js understands, before it looks. Other clients of node:http2 than grpc-js's would see lists as well: for
 * a process whose HTTP/2 clients are all of grpc-js.
 *
 * Calling it again does nothing.
 */
export function keepRepeatedMetadata(): void {
  const { connect } = http2;
  if (PATCHED in connect) return;
  const patched = (...args: unknown[]): http2.ClientHttp2Session =>
    watchSession(Reflect.apply(connect, http2, args));
  http2.connect = Object.assign(patched, { [PATCHED]: true }) as typeof connect;
}

const PATCHED = Symbol('keeps repeated metadata');

function watchSession(session: http2.ClientHttp2Session): http2.ClientHttp2Session {
  const request = session.request.bind(session);
  session.request = (headers, options) => {
    const stream = request(headers, options);
    // Listeners run in the order in which they were added: this one is the first.
    for (const event of ['response', 'trailers']) stream.on(event, separateValues);
    return stream;
  };
  return session;
}

function separateValues(headers: Headers, _flags: number, raw: unknown): void {
  if (!Array.isArray(raw)) return;
  const values = new Map<string, string[]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = String(raw[i]);
    values.set(name, [...(values.get(name) ?? []), String(raw[i + 1])]);
  }
  for (const [name, list] of values) {
    if (list.length > 1 && !PROTOCOL.test(name)) headers[name] = list;
  }
}
