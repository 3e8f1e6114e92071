import { expect } from 'chai';
import { allowOrigins } from '../../../src/bridge/cors.js';
import { listenHttp } from '../../../src/bridge/http-server.js';
import { ask } from '../../support/gateway/http-client.js';
import { ALLOWED_ORIGIN, type HubDoor, startHubDoor, TOKEN } from '../../support/gateway/hub-door.js';
import { type RefGateway, startRefGateway } from '../../support/gateway/ref-gateway.js';

const EVIL = 'http://evil.example';
const BEARER = { Authorization: `Bearer ${TOKEN}` };
const PREFLIGHT = {
  'Access-Control-Request-Method': 'POST',
  'Access-Control-Request-Headers': 'authorization,content-type,grpc-metadata-x,x-evil,last-event-id',
};

describe('CORS', () => {
  describe('at the door of the hub', () => {
    let door: HubDoor;

    before(async () => {
      door = await startHubDoor();
    });
    after(() => door.close());

    const get = (path: string, headers: Record<string, string>) => ask(door.port, { path, headers });

    it('answers the preflight of an allowed page, for the headers that mean something here', async () => {
      const headers = { Origin: ALLOWED_ORIGIN, ...PREFLIGHT };
      const answer = await ask(door.port, { method: 'OPTIONS', path: '/tasks', headers });
      expect(answer.status).to.equal(204);
      expect(answer.headers).to.include({
        'access-control-allow-origin': ALLOWED_ORIGIN,
        'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
        'access-control-allow-headers': 'authorization, content-type, grpc-metadata-x, last-event-id',
        vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
      });
      expect(answer.headers).not.to.have.property('access-control-allow-credentials');
    });

    it('lets an allowed page with a token read answers, their headers and errors', async () => {
      const answer = await get('/tasks/done', { Origin: ALLOWED_ORIGIN, ...BEARER });
      expect(answer.status).to.equal(200);
      expect(answer.headers).to.include({ 'access-control-allow-origin': ALLOWED_ORIGIN, vary: 'Origin' });
      const output = await get('/tasks/done/output', { Origin: ALLOWED_ORIGIN, ...BEARER });
      expect(output.headers['access-control-expose-headers']).to.equal('Accept-Ranges');
      const gone = await get('/tasks/gone', { Origin: ALLOWED_ORIGIN, ...BEARER });
      expect([gone.status, gone.headers['access-control-allow-origin']]).to.deep.equal([404, ALLOWED_ORIGIN]);
    });

    it('lets it read streams', async () => {
      const headers = { Origin: ALLOWED_ORIGIN, Accept: 'text/event-stream', ...BEARER };
      const answer = await get('/events?types=ten', headers);
      expect(answer.headers['access-control-allow-origin']).to.equal(ALLOWED_ORIGIN);
    });

    it('refuses an allowed page without a token, and tells it so', async () => {
      const answer = await get('/tasks/done', { Origin: ALLOWED_ORIGIN });
      expect(answer.status).to.equal(403);
      expect(answer.headers['access-control-allow-origin']).to.equal(ALLOWED_ORIGIN);
      expect(answer.json()).to.have.nested.property('details[0].reason', 'ORIGIN_NOT_ALLOWED');
    });

    it('gives other pages nothing', async () => {
      const headers = { Origin: EVIL, ...PREFLIGHT };
      const preflight = await ask(door.port, { method: 'OPTIONS', path: '/tasks', headers });
      expect(preflight.status).to.equal(403);
      const answers = [
        preflight,
        await get('/tasks/done', { Origin: EVIL, ...BEARER }),
        await get('/health', {}),
      ];
      for (const answer of answers) {
        expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).to.deep.equal(
          [],
        );
        expect(answer.headers.vary).to.equal('Origin');
      }
    });
  });

  describe('of a gateway', () => {
    let gateway: RefGateway;

    before(async () => {
      gateway = await startRefGateway();
    });
    after(() => gateway.close());

    it('is not there unless it is configured', async () => {
      const headers = { Origin: ALLOWED_ORIGIN, ...PREFLIGHT };
      const answer = await ask(gateway.port, { method: 'OPTIONS', path: '/v1/nop', headers });
      expect(answer.status).to.equal(501);
      expect(answer.headers).not.to.have.any.keys('access-control-allow-origin', 'vary');
    });

    it('exposes the metadata of answers', async () => {
      const cors = allowOrigins([ALLOWED_ORIGIN]);
      const { handler } = gateway.bridge;
      const server = await listenHttp((req, res) => cors(req, res, () => handler(req, res)), {
        host: '127.0.0.1',
        port: 0,
      });
      const headers = { Origin: ALLOWED_ORIGIN };
      const answer = await ask(server.port, { path: '/v1/meta', headers }).finally(() => server.close());
      expect(answer.headers['access-control-expose-headers']).to.equal(
        'Grpc-Metadata-Etag, Grpc-Metadata-X-B-Bin, Grpc-Metadata-X-Hdr',
      );
      expect(answer.headers['grpc-metadata-x-hdr']).to.equal('h1, h2');
    });
  });
});
