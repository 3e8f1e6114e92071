import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import { ask, postJson } from '../../support/gateway/http-client.js';
import { startHubDoor } from '../../support/gateway/hub-door.js';
import { Malformer, type Seeds } from '../../support/gateway/malformed.js';
import { Standalone } from '../../support/gateway/standalone.js';
import { type RawAnswer, sendVolley } from '../../support/gateway/volley.js';
import { propertyOptions } from '../../support/property.js';
import { Random } from '../../support/random.js';

/** Requests in all, half of them to each of the two doors. */
const { seed, numRuns: REQUESTS } = propertyOptions(100_000);
/** Connections at a time. */
const WORKERS = 8;
/** A connection that is neither answered nor closed by then hangs. Requests that never end are cut before. */
const LIMIT_MS = 20_000;
/** What may be in use afterwards beyond what was after the first tenth. */
const GROWTH = 24 * 1024 * 1024;

const REF: Seeds = {
  head: 'Host: localhost\r\n',
  sockets: ['/v1/sstream/3', '/v1/bidi', '/v1/sstream/3?%zz', '/nope', '/v1/nop'],
  routes: [
    [
      'POST',
      '/v1/echo',
      '{"id":"a","i32":1,"i64":"2","nested":{"name":"n","child":{}},"mss":{"a":"b"},"ts":"2026-01-01T00:00:00Z"}',
    ],
    [
      'POST',
      '/v1/echo',
      '{"st":{"a":[1,{"b":null}]},"any":{"@type":"type.googleapis.com/ref.v1.Name"},"by":"AQI=","dur":"1s"}',
    ],
    ['GET', '/v1/echo?i32=5&nested.name=x&mss[a]=b&rs=1&rs=2'],
    ['PUT', '/v1/echo/x?i32=5', '{"name":"n","amount":5}'],
    ['PATCH', '/v1/items/5', '{"s":"x","nested":{"name":"y"},"mss":{"a":"b"}}'],
    ['DELETE', '/v1/echo/x'],
    ['HEAD', '/v1/echo/x'],
    ['GET', '/v1/types/1/2/true/RED/0.5'],
    ['GET', '/v1/wk/2026-01-01T00:00:00Z/1s/x'],
    ['GET', '/v1/projects/p/vms/v'],
    ['POST', '/v1/projects/p/vms/v:start', '{"extra":"x"}'],
    ['GET', '/v1/deep/a/b/c/tail'],
    ['POST', '/v1/fail', '{"code":5,"message":"m","detail":"D"}'],
    ['POST', '/v1/fail', '{"code":2,"message":"m\\n\\u0000"}'],
    ['GET', '/v1/list'],
    ['GET', '/v1/sstream/3'],
    ['GET', '/v1/sstream/2?cmd=faillast'],
    ['GET', '/v1/sbody/2'],
    ['POST', '/v1/body', '{"contentType":"text/plain","data":"AQI="}'],
    ['POST', '/v1/cstream', '{"seq":1,"text":"a"}\n{"seq":2,"text":"b"}'],
    ['POST', '/v1/bidi', '{"seq":1,"text":"a"}\n{"seq":2,"text":"b"}'],
    ['GET', '/v1/meta'],
    ['GET', '/healthz?service=x'],
    ['OPTIONS', '/v1/echo'],
  ],
};

const HUB: Seeds = {
  head: 'Host: localhost\r\n',
  sockets: ['/tasks/t/logs', '/tasks/%zz/logs', '/nope', '/agents'],
  routes: [
    [
      'POST',
      '/agents/dev/task',
      '{"type":"exec","command":"ls","env":{"A":"b"},"timeout":5000,"argv":["a"],"retry":{"maxAttempts":3}}',
    ],
    ['POST', '/tasks', '{"type":"exec","wait":"30s","ttl":"3600s","labels":{"a":"b"}}'],
    ['POST', '/agents/gone/task', '{"type":"exec"}'],
    ['GET', '/tasks/done'],
    ['GET', '/tasks/done/output?stream=stdout'],
    ['GET', '/tasks/done/logs?format=BYTES&lines=5'],
    ['GET', '/tasks?states=RUNNING&pageSize=5'],
    ['GET', '/version'],
    ['GET', '/healthz'],
    ['OPTIONS', '/tasks'],
    ['HEAD', '/tasks/done'],
    ['DELETE', '/agents/dev'],
  ],
};

// No request, however wrong it is, may end the hub, keep a connection for ever, or leave something behind.
describe('malformed requests', function () {
  this.timeout(10 * 60_000);

  it(`leave the gateway as it was: ${REQUESTS / 2} of seed ${seed}`, async () => {
    const gateway = await Standalone.ref();
    try {
      const { port } = (await gateway.start({ webSockets: true })).address;
      await storm(port, new Malformer(Random.for(seed, 'gateway'), REF));
      const answer = await ask(port, { method: 'POST', path: '/v1/echo', body: '{"id":"still"}' });
      expect(answer.json()).to.include({ id: 'still' });
    } finally {
      await gateway.close();
    }
  });

  it(`leave the door of the hub as it was: ${REQUESTS / 2} of seed ${seed}`, async () => {
    const door = await startHubDoor();
    try {
      const forget = () => {
        for (const memory of [door.hub.created, door.hub.metadata, door.callers] as unknown[][])
          memory.length = 0;
      };
      await storm(door.port, new Malformer(Random.for(seed, 'hub'), HUB), forget);
      expect((await postJson(door.port, '/tasks', { type: 'exec' })).json()).to.include({ taskId: 't1' });
    } finally {
      await door.close();
    }
  });
});

/** Sends requests, judges every answer, and compares the memory in use. */
async function storm(port: number, malformer: Malformer, forget = () => {}): Promise<void> {
  let judged = 0;
  let early = 0;
  const work = async (): Promise<void> => {
    while (judged < REQUESTS / 2) {
      const volley = malformer.next();
      const { answers, hung } = await sendVolley(port, volley, LIMIT_MS);
      // Who is cut without an answer was judged too; what stood behind it was not.
      judged += Math.max(1, answers.length);
      if (hung) throw new Error(`no end to ${JSON.stringify(volley.bytes.toString('latin1').slice(-2000))}`);
      for (const [i, answer] of answers.entries()) {
        const complaint = complaintAbout(answer, volley.methods[i]);
        if (complaint === undefined) continue;
        throw new Error(
          `${complaint}: ${JSON.stringify(answer)} to ${JSON.stringify(volley.bytes.toString('latin1').slice(0, 20_000))}`,
        );
      }
      if (early === 0 && judged > REQUESTS / 20) early = memoryInUse(forget);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  expect(memoryInUse(forget) - early).to.be.lessThan(GROWTH);
}

/** What is wrong with an answer, in words. */
function complaintAbout(
  { status, headers, body }: RawAnswer,
  method: string | undefined,
): string | undefined {
  if (!Number.isInteger(status)) return 'no HTTP';
  if (status < 400 || method === 'HEAD') return undefined;
  if (status === 400 && body === '400 Bad Request') return undefined;
  if (status === 416) return undefined;
  if (!/content-type: application\/json/i.test(headers)) return 'no JSON';
  try {
    const json: { code?: unknown; error?: { code?: unknown } } = JSON.parse(body);
    const code = json.code ?? json.error?.code;
    return typeof code === 'number' && code !== 0 ? undefined : 'no code';
  } catch {
    return 'bad JSON';
  }
}

function memoryInUse(forget: () => void): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  forget();
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
