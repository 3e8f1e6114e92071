import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { SchemaCheck } from '../support/gateway/openapi-check.js';

type Step = readonly [method: string, path: string, body?: unknown];

// What the hub says of its routes at /openapi.json is what they answer.
describe('the OpenAPI document of a running hub', function () {
  this.timeout(120_000);
  let hub: HubProcess;
  let check: SchemaCheck;
  const seen = new Set<string>();

  before(async () => {
    hub = await HubProcess.start();
    const answer = await hub.rest('GET', '/openapi.json');
    check = new SchemaCheck(JSON.parse(answer.text));
    await hub.ok(['create', 'dev', '--provider', 'local']);
  });
  after(() => hub?.close());

  /** The path of the document that a path is of; one with fewer parameters goes before. */
  function described(method: string, path: string): string {
    const matching = Object.entries(check.document.paths).filter(([template, operations]) => {
      const pattern = template.replace(/[.+*?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]*\}/g, '[^/:]+');
      return operations[method] !== undefined && new RegExp(`^${pattern}$`).test(path.split('?')[0] ?? '');
    });
    const [best] = matching.sort(([a], [b]) => a.split('{').length - b.split('{').length);
    if (best === undefined) throw new Error(`the document has no ${method} ${path}`);
    return best[0];
  }

  /** Calls a route and compares each value of its answer with the document. */
  async function call(...[method, path, body]: Step): Promise<{ status: number; text: string }> {
    const answer = await hub.rest(method.toUpperCase(), path, body);
    const template = described(method, path);
    const isStream = /:watch$|\/logs$|^\/events$/.test(template) && answer.status === 200;
    const values = isStream ? answer.text.trim().split('\n') : [answer.text];
    for (const value of values) {
      const problems = check.answerProblems(method, template, String(answer.status), JSON.parse(value));
      expect(problems, `${method} ${path}: ${value.slice(0, 500)}`).to.equal('');
    }
    seen.add(`${method} ${template}`);
    return answer;
  }

  it('holds for agents and tasks', async () => {
    const task = {
      type: 'exec',
      command: 'echo hello; echo oops >&2; exit 3',
      wait: '30s',
      labels: { a: 'b' },
    };
    const steps: Step[] = [
      ['post', '/agents/dev/task', { ...task, id: 'one', retry: { maxAttempts: 2 }, env: { A: '1' } }],
      ['post', '/tasks', { type: 'script', script: 'return {a: [1, null]}', wait: '30s', id: 'two' }],
      ['post', '/agents/dev/task', { type: 'exec', command: 'sleep 60', id: 'three' }],
      ['post', '/tasks/three:cancel', { force: true }],
      ['get', '/tasks/one'],
      ['get', '/tasks?states=FAILED&states=SUCCEEDED&pageSize=5'],
      ['get', '/agents/dev/tasks'],
      ['get', '/tasks/one:watch'],
      ['get', '/tasks/one/logs'],
      ['get', '/tasks/one/logs?format=BYTES'],
      ['get', '/agents/dev/logs?lines=2'],
      ['get', '/agents'],
      ['get', '/agents/dev/status'],
      ['post', '/agents/register', { agentId: 'hand', metadata: { capabilities: ['x'], cpu: 2 } }],
      ['delete', '/agents/hand'],
    ];
    for (const step of steps) expect((await call(...step)).status, step.join(' ')).to.equal(200);
  });

  it('holds for machines and the hub itself', async () => {
    const paths = [
      '/vms',
      '/agents/dev/vm',
      '/agents/dev/console',
      '/providers',
      '/images',
      '/profiles',
      '/health',
    ];
    const more = ['/healthz', '/readyz', '/version', '/openapi.json', '/admin/stats', '/admin/dlq'];
    for (const path of [...paths, ...more]) expect((await call('get', path)).status, path).to.equal(200);
    expect((await call('delete', '/admin/dlq')).status).to.equal(200);
  });

  it('holds for errors', async () => {
    expect((await call('get', '/tasks/nope')).status).to.equal(404);
    expect((await call('get', '/tasks/nope:watch')).status).to.equal(404);
    expect((await call('post', '/tasks', { type: 'exec' })).status).to.equal(400);
    expect((await call('post', '/tasks', '{"type":5}')).status).to.equal(400);
    expect((await call('get', '/tasks?pageSize=x')).status).to.equal(400);
    expect((await call('post', '/admin/logLevel', { level: 'info' })).status).to.equal(403);
    expect((await call('get', '/agents/nope/vm')).status).to.equal(404);
  });

  it('has been looked at for most of its operations', () => {
    const all = Object.values(check.document.paths).flatMap((operations) => Object.keys(operations));
    expect(seen.size).to.be.greaterThan(all.length / 2);
  });
});
