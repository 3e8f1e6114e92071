import { expect } from 'chai';
import { silentLogger } from '../../../src/base/logger.js';
import { type HttpServer, listenHttp } from '../../../src/bridge/http-server.js';
import { createDashboard } from '../../../src/dashboard/dashboard.js';
import { ask } from '../../support/gateway/http-client.js';
import { type HubDoor, startHubDoor } from '../../support/gateway/hub-door.js';

describe('dashboard server', () => {
  let door: HubDoor;
  let server: HttpServer;

  before(async () => {
    door = await startHubDoor();
    const app = createDashboard({ bridge: door.http.bridge, guard: door.guard, log: silentLogger });
    server = await listenHttp(app, { host: '127.0.0.1', port: 0 });
  });
  after(async () => {
    await server.close();
    await door.close();
  });

  const get = (path: string, headers: Record<string, string> = {}) => ask(server.port, { path, headers });

  it('serves every file that the page names, with its type and the policy', async () => {
    const page = await get('/');
    expect(page.headers['content-type']).to.equal('text/html; charset=utf-8');
    expect(page.headers['content-security-policy']).to.contain("frame-ancestors 'none'");
    const named = [...page.text.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = '']) => path);
    expect(named).to.include.members(['/app.js', '/style.css', '/icon.svg']);
    for (const path of [...named, '/dom.js', '/format.js'])
      expect((await get(path)).status, path).to.equal(200);
  });

  it('has nothing that its own policy forbids', async () => {
    const { text } = await get('/');
    expect(text).not.to.match(/<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|https?:\/\//);
    for (const path of ['/app.js', '/dom.js', '/format.js']) {
      expect((await get(path)).text).not.to.match(
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/,
      );
    }
  });

  it('has an element for every id that the script asks for, and the counts of old', async () => {
    const { text } = await get('/');
    const ids = [...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    const asked = [...(await get('/app.js')).text.matchAll(/byId\('([^']+)'\)/g)].map(([, id]) => id);
    expect(ids).to.include.members(asked);
    expect(ids).to.include.members(['total-agents', 'online-agents', 'offline-agents', 'active-tasks']);
  });

  it('hands reads below /api to the hub, for the caller that the guard found', async () => {
    expect((await get('/api/tasks/done')).json()).to.have.nested.property('task.id', 'done');
    expect((await get('/api/version')).status).to.equal(200);
  });

  it('refuses changes', async () => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await ask(server.port, { method: 'POST', path: '/api/tasks', headers, body: '{}' });
    expect(answer.status).to.equal(403);
    expect(door.hub.created).to.deep.equal([]);
  });

  it('refuses other hosts and, for data, pages of other sites', async () => {
    expect((await get('/', { Host: 'evil.example' })).status).to.equal(421);
    expect((await get('/api/agents', { Host: 'evil.example' })).status).to.equal(421);
    expect((await get('/api/tasks/done', { 'Sec-Fetch-Site': 'cross-site' })).status).to.equal(403);
    expect((await get('/', { 'Sec-Fetch-Site': 'cross-site' })).status).to.equal(200);
  });

  it('answers 404 to paths that try to leave its folder', async () => {
    for (const path of ['/../package.json', '/%2e%2e/web-files.ts', '/nope']) {
      expect((await get(path)).status, path).to.equal(404);
    }
  });
});
