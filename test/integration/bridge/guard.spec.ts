import { expect } from 'chai';
import { ask, type HttpAsk } from '../../support/gateway/http-client.js';
import { type HubDoor, startHubDoor, TOKEN } from '../../support/gateway/hub-door.js';
import { sendRaw } from '../../support/gateway/replay.js';

describe('HTTP guard', () => {
  let door: HubDoor;

  before(async () => {
    door = await startHubDoor();
  });
  after(() => door.close());

  const json = { 'Content-Type': 'application/json' };
  const post = (headers: Record<string, string>): HttpAsk => ({
    method: 'POST',
    path: '/agents/dev/task',
    headers,
    body: '{"type":"exec"}',
  });

  const cases: [what: string, ask: HttpAsk, status: number, reason?: string][] = [
    ['the documented curl', post(json), 200],
    ['a host in capitals', post({ ...json, Host: 'LOCALHOST:9091' }), 200],
    ['JSON with a charset', post({ 'Content-Type': 'application/json; charset=utf-8' }), 200],
    ['a POST without a body or type', { method: 'POST', path: '/tasks' }, 200],
    ['its own origin', post({ ...json, Host: 'localhost:1', Origin: 'http://localhost:1' }), 200],
    ['a rebound name', post({ ...json, Host: 'evil.example:9091' }), 421, 'HOST_NOT_ALLOWED'],
    [
      'a rebound name at a path without a route',
      { path: '/nothing', headers: { Host: 'evil.example' } },
      421,
      'HOST_NOT_ALLOWED',
    ],
    ['a trailing dot', post({ ...json, Host: 'localhost.:9091' }), 421, 'HOST_NOT_ALLOWED'],
    ['another loopback address', post({ ...json, Host: '127.1:9091' }), 421, 'HOST_NOT_ALLOWED'],
    ['the address 0.0.0.0', { path: '/health', headers: { Host: '0.0.0.0:9091' } }, 421, 'HOST_NOT_ALLOWED'],
    ['a foreign origin', post({ ...json, Origin: 'http://localhost:9092' }), 403, 'ORIGIN_NOT_ALLOWED'],
    ['a null origin', post({ ...json, Origin: 'null' }), 403, 'ORIGIN_NOT_ALLOWED'],
    [
      'a cross-site read',
      { path: '/agents', headers: { 'Sec-Fetch-Site': 'cross-site' } },
      403,
      'ORIGIN_NOT_ALLOWED',
    ],
    [
      'a same-site read',
      { path: '/agents', headers: { 'Sec-Fetch-Site': 'same-site' } },
      403,
      'ORIGIN_NOT_ALLOWED',
    ],
    ['a proxy', post({ ...json, 'X-Forwarded-For': '10.0.0.1' }), 401, 'PROXY_NEEDS_TOKEN'],
    ['a form', post({ 'Content-Type': 'application/x-www-form-urlencoded' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['text', post({ 'Content-Type': 'text/plain' }), 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a body without a type', post({}), 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['a token in the address', { path: `/agents?token=${TOKEN}` }, 400, 'TOKEN_IN_URL'],
    ['a wrong token', post({ ...json, Authorization: 'Bearer wrong' }), 401, 'NOT_AUTHENTICATED'],
    ['another scheme at a rebound name', post({ ...json, Host: 'evil', Authorization: 'Basic eA==' }), 421],
    [
      'a token through a proxy',
      post({ ...json, Authorization: `Bearer ${TOKEN}`, Via: '1.1 p', Host: 'hub' }),
      200,
    ],
  ];
  for (const [what, request, status, reason] of cases) {
    it(`answers ${status} to ${what}`, async () => {
      const before = door.hub.created.length;
      const answer = await ask(door.port, request);
      expect(answer.status, answer.text).to.equal(status);
      if (reason !== undefined) expect(answer.json()).to.have.nested.property('details[0].reason', reason);
      if (status !== 200) expect(door.hub.created.length).to.equal(before);
    });
  }

  it('refuses a preflight without allowing any origin', async () => {
    const headers = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' };
    const answer = await ask(door.port, { method: 'OPTIONS', path: '/tasks', headers });
    expect(answer.status).to.equal(403);
    expect(answer.headers).not.to.have.property('access-control-allow-origin');
  });

  it('refuses two Host headers, and HTTP/1.0 without one', async () => {
    const two = await sendRaw(
      door.port,
      Buffer.from('GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n'),
    );
    expect(two.toString()).to.match(/^HTTP\/1.1 400 .*DUPLICATE_HOST/s);
    const none = await sendRaw(door.port, Buffer.from('GET /health HTTP/1.0\r\n\r\n'));
    expect(none.toString()).to.match(/^HTTP\/1.1 421 /);
  });

  it('answers what Node refuses in JSON too', async () => {
    const answer = await sendRaw(
      door.port,
      Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\nA b: c\r\n\r\n'),
    );
    expect(answer.toString()).to.match(/^HTTP\/1.1 400 .*application\/json.*\{"code":3,/s);
  });

  it('ends the answer to a refused body as soon as the body is there', async () => {
    const head =
      'POST /tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\nContent-Length: 2\r\n\r\n{}';
    const startMs = performance.now();
    expect(String(await sendRaw(door.port, Buffer.from(head)))).to.match(/^HTTP\/1.1 401 /);
    expect(performance.now() - startMs).to.be.lessThan(3_000);
  });
});
