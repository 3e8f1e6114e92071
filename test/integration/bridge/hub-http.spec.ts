import { expect } from 'chai';
import { LOCAL_OPERATOR } from '../../../src/security/caller.js';
import { ask, open, postJson } from '../../support/gateway/http-client.js';
import { type HubDoor, startHubDoor } from '../../support/gateway/hub-door.js';
import { FLOOD_RECORDS, OUTPUT } from '../../support/gateway/stand-in-hub.js';

describe('REST door of the hub', () => {
  let door: HubDoor;

  beforeEach(async () => {
    door = await startHubDoor();
  });
  afterEach(() => door.close());

  describe('tasks', () => {
    it('posts a task for an agent and answers its id', async () => {
      const answer = await postJson(door.port, '/agents/dev/task', {
        type: 'exec',
        command: 'ls',
        timeout: 5000,
      });
      expect(answer.status).to.equal(200);
      expect(answer.json()).to.include({ taskId: 't1', status: 'sent' });
      expect(answer.json().task).to.include({ state: 'QUEUED', outcome: null });
      expect(door.hub.created[0]).to.deep.include({
        agent: 'dev',
        type: 'exec',
        command: 'ls',
        timeout: 5000,
      });
    });

    it('hands Idempotency-Key and the caller on', async () => {
      const headers = {
        'Content-Type': 'application/json',
        'Idempotency-Key': 'k1',
      };
      await ask(door.port, { method: 'POST', path: '/tasks', headers, body: '{"type":"exec"}' });
      const metadata = door.hub.metadata[0];
      expect(metadata?.get('idempotency-key')).to.deep.equal(['k1']);
      expect(door.callers).to.deep.equal([LOCAL_OPERATOR]);
    });

    it('answers the status of the hub with its details and the error text of old', async () => {
      const answer = await postJson(door.port, '/agents/gone/task', { type: 'exec' });
      const message = 'agent gone is not registered';
      const metadata = { agent: 'gone' };
      const type = 'type.googleapis.com/google.rpc.ErrorInfo';
      const details = [{ '@type': type, reason: 'AGENT_NOT_FOUND', domain: 'vmagent', metadata }];
      expect(answer.status).to.equal(404);
      expect(answer.text).to.equal(JSON.stringify({ code: 5, message, details, error: message }));
    });
  });

  describe('bad bodies', () => {
    const cases: [what: string, body: string, field: string, message: RegExp][] = [
      ['a text for a number', '{"timeout":"soon"}', 'timeout', /"timeout": expected a number.*"soon"/],
      ['a number out of range', '{"timeout":2147483648}', 'timeout', /from -2147483648 to 2147483647/],
      ['a wrong item', '{"argv":["ls",5]}', 'argv[1]', /"argv\[1\]": expected a string/],
      ['a wrong map value', '{"env":{"A":"b","C":1}}', 'env["C"]', /expected a string/],
      ['a field of a message', '{"retry":{"maxAttempts":"x"}}', 'retry.maxAttempts', /expected a number/],
      ['a duration without its unit', '{"wait":30}', 'wait', /seconds such as "30s"/],
      ['a text for a list', '{"argv":"ls"}', 'argv', /expected an array/],
    ];
    for (const [what, body, field, message] of cases) {
      it(`names the field for ${what}`, async () => {
        const answer = await postJson(door.port, '/tasks', body);
        const { code, details, error } = answer.json() as { code: number; details: object[]; error: string };
        expect(answer.status).to.equal(400);
        expect(code).to.equal(3);
        expect(error).to.match(message);
        expect(details[0]).to.have.nested.property('fieldViolations[0].field', field);
      });
    }

    it('refuses JSON that is nested too deep', async () => {
      const answer = await postJson(door.port, '/tasks', `{"labels":${'['.repeat(90_000)}`);
      expect(answer.status).to.equal(400);
      expect(answer.text).to.contain('nested deeper than 32');
    });

    it('refuses a body over the limit with 413, announced or not', async () => {
      const body = Buffer.alloc(8 * 1024 * 1024 + 1, 0x20);
      const headers = { 'Content-Type': 'application/json' };
      const announced = await ask(door.port, { method: 'POST', path: '/tasks', headers, body });
      expect([announced.status, announced.json().code]).to.deep.equal([413, 8]);
      const chunked = { ...headers, 'Transfer-Encoding': 'chunked' };
      const streamed = await ask(door.port, { method: 'POST', path: '/tasks', headers: chunked, body });
      expect([streamed.status, streamed.json().code]).to.deep.equal([413, 8]);
      expect((await ask(door.port, { path: '/version' })).status).to.equal(200);
    });
  });

  describe('streams', () => {
    it('sends server-sent events to who accepts them, and cancels the call when the client leaves', async () => {
      const res = await open(door.port, '/events', { Accept: 'text/event-stream' });
      let text = '';
      for await (const chunk of res) {
        text += chunk;
        if (text.includes('data: ')) break;
      }
      expect(res.headers).to.include({ 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
      expect(text).to.match(
        /^retry: 2000\n\nid: 1\ndata: \{"event":\{"cursor":"1".*\\u003c\/script\\u003e.*\}\}\n\n$/,
      );
      await door.hub.watchCancelled;
    });

    it('stops reading from the hub while the client does not read, and loses nothing', async () => {
      const res = await open(door.port, '/tasks/flood/logs?format=BYTES');
      res.pause();
      let before = -1;
      while (before !== door.hub.recordsWritten()) {
        before = door.hub.recordsWritten();
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      expect(before).to.be.lessThan(FLOOD_RECORDS / 2);
      let text = '';
      for await (const chunk of res) text += chunk;
      expect(text.trim().split('\n').length).to.equal(FLOOD_RECORDS);
    });
  });

  describe('GET /tasks/{task}/output', () => {
    it('answers the bytes as they were written', async () => {
      const answer = await ask(door.port, { path: '/tasks/done/output' });
      expect(answer.status).to.equal(200);
      expect(answer.headers).to.include({ 'content-length': '1000', 'accept-ranges': 'bytes' });
      expect(answer.body.equals(OUTPUT)).to.equal(true);
    });

    it('answers one range across records', async () => {
      const answer = await ask(door.port, {
        path: '/tasks/done/output',
        headers: { Range: 'bytes=240-510' },
      });
      expect(answer.status).to.equal(206);
      expect(answer.headers['content-range']).to.equal('bytes 240-510/1000');
      expect(answer.body.equals(OUTPUT.subarray(240, 511))).to.equal(true);
    });

    it('answers 416 behind the end, 404 for an unknown task and 400 for an unknown stream', async () => {
      const behind = await ask(door.port, { path: '/tasks/done/output', headers: { Range: 'bytes=1000-' } });
      expect([behind.status, behind.headers['content-range']]).to.deep.equal([416, 'bytes */1000']);
      expect((await ask(door.port, { path: '/tasks/gone/output' })).status).to.equal(404);
      expect((await ask(door.port, { path: '/tasks/done/output?stream=x' })).status).to.equal(400);
    });

    it('answers what there is of a task that runs, without a length', async () => {
      const answer = await ask(door.port, { path: '/tasks/live/output', headers: { Range: 'bytes=0-1' } });
      expect(answer.status).to.equal(200);
      expect(answer.headers).not.to.have.property('content-length');
      expect(answer.body.equals(OUTPUT)).to.equal(true);
    });
  });

  describe('beside the protos', () => {
    it('answers health, readiness, metrics and version', async () => {
      expect((await ask(door.port, { path: '/healthz' })).text).to.equal('{"status":"SERVING"}\n');
      expect((await ask(door.port, { path: '/readyz' })).status).to.equal(200);
      expect((await ask(door.port, { path: '/metrics' })).text).to.equal('vm_hub_agents 1\n');
      expect((await ask(door.port, { path: '/version' })).json()).to.include({ version: '1.2.3' });
    });

    it('answers 503 at /readyz and on calls when the hub is gone', async () => {
      door.hub.close();
      expect((await ask(door.port, { path: '/readyz' })).status).to.equal(503);
      expect((await postJson(door.port, '/tasks', {})).status).to.equal(503);
    });

    it('answers 404 and 501 as grpc-gateway does, in JSON', async () => {
      const unknown = await ask(door.port, { path: '/nope' });
      expect(unknown.json()).to.include({ code: 5, message: 'Not Found', error: 'Not Found' });
      expect((await ask(door.port, { method: 'PUT', path: '/agents' })).status).to.equal(501);
      expect(unknown.headers).to.not.have.any.keys('x-powered-by', 'etag');
      expect((await ask(door.port, { path: '/tasks/%zz' })).status).to.equal(400);
    });
  });
});
