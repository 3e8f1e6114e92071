import { expect } from 'chai';
import { ask } from '../../support/gateway/http-client.js';
import { type HubDoor, startHubDoor } from '../../support/gateway/hub-door.js';
import { startRefGateway } from '../../support/gateway/ref-gateway.js';

const EVENTS = { Accept: 'text/event-stream' };

describe('server-sent events', () => {
  describe('of a stream without a cursor', () => {
    let gateway: Awaited<ReturnType<typeof startRefGateway>>;

    before(async () => {
      gateway = await startRefGateway();
    });
    after(() => gateway.close());

    const events = (path: string, headers: Record<string, string> = {}) =>
      ask(gateway.port, { path, headers: { ...EVENTS, ...headers } });

    it('have no id, so that nobody believes that they can be taken up again, and one at the end', async () => {
      const answer = await events('/v1/sstream/2');
      expect(answer.status).to.equal(200);
      expect(answer.text).to.equal(
        'retry: 2000\n\n' +
          'data: {"seq":0,"text":"t0"}\n\ndata: {"seq":1,"text":"t1"}\n\n' +
          'id: ~end\nevent: end\ndata: {}\n\n',
      );
    });

    it('are not sent again to who has seen the end', async () => {
      const answer = await events('/v1/sstream/2', { 'Last-Event-ID': '~end' });
      expect([answer.status, answer.text]).to.deep.equal([204, '']);
    });

    it('begin anew for any other id', async () => {
      const answer = await events('/v1/sstream/1', { 'Last-Event-ID': '7' });
      expect(answer.text).to.contain('data: {"seq":0,"text":"t0"}');
    });

    it('tell a failure midway as an event, and no end', async () => {
      const answer = await events('/v1/sstream/1?cmd=faillast');
      const info =
        '{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"R","domain":"","metadata":{}}';
      expect(answer.text).to.equal(
        'retry: 2000\n\ndata: {"seq":0,"text":"t0"}\n\n' +
          `event: error\ndata: {"code":13,"message":"boom","details":[${info}]}\n\n`,
      );
    });

    it('answer a call that fails at once with its HTTP status, so that browsers stop', async () => {
      const answer = await events('/v1/sstream/1?cmd=failfirst');
      expect(answer.status).to.equal(404);
      expect(answer.json()).to.include({ code: 5, message: 'nope' });
    });

    it('are asked for among other types too', async () => {
      const answer = await events('/v1/sstream/1', { Accept: 'application/json, text/event-stream;q=0.9' });
      expect(answer.headers['content-type']).to.equal('text/event-stream');
    });

    it('hold texts of an HttpBody', async () => {
      expect((await events('/v1/sbody/1')).text).to.contain('\n\ndata: part0\n\n');
    });
  });

  describe('of a stream with a cursor', () => {
    let door: HubDoor;

    before(async () => {
      door = await startHubDoor();
    });
    after(() => door.close());

    const events = (path: string, headers: Record<string, string> = {}) =>
      ask(door.port, { path, headers: { ...EVENTS, ...headers } });
    const ids = (text: string) => [...text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);

    it('have it as their id, and keep it as the last id at the end', async () => {
      const { text } = await events('/events?types=ten');
      expect(ids(text)).to.deep.equal(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
      expect(text).to.match(/\n\nevent: end\ndata: \{\}\n\n$/);
    });

    it('go on behind Last-Event-ID, whatever cursor the address has', async () => {
      const { text } = await events('/events?types=ten&cursor=3', { 'Last-Event-ID': '8' });
      expect(ids(text)).to.deep.equal(['9', '10']);
    });

    it('go on behind the parameter that libraries send, and behind the field itself', async () => {
      expect(ids((await events('/events?types=ten&lastEventId=8')).text)).to.deep.equal(['9', '10']);
      expect(ids((await events('/events?types=ten&cursor=8')).text)).to.deep.equal(['9', '10']);
    });

    it('give all, each once and in order, to who comes back after each failure', async () => {
      const seen: (string | undefined)[] = [];
      let status = 200;
      for (let round = 0; status === 200 && round < 10; round++) {
        const last = seen.at(-1);
        const answer = await events(
          '/events?types=break',
          last === undefined ? {} : { 'Last-Event-ID': last },
        );
        status = answer.status;
        seen.push(...ids(answer.text));
      }
      expect(seen).to.deep.equal(['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
      expect(status).to.equal(204);
    });

    it('leave streams of lines as they are', async () => {
      const headers = { 'Last-Event-ID': '8' };
      const { text } = await ask(door.port, { path: '/events?types=ten', headers });
      expect(text.trim().split('\n').length).to.equal(10);
    });
  });
});
