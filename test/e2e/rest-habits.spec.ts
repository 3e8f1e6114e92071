import { expect } from 'chai';
import { HubProcess } from '../support/e2e/hub-process.js';
import { list } from '../support/e2e/json-path.js';

// What clients of the first vm-agent-system do, in their order, and what they look at.
describe('the REST habits of the first system', () => {
  let hub: HubProcess;

  before(async () => {
    hub = await HubProcess.start();
  });
  after(() => hub?.close());

  it('answers GET /health', async () => {
    const answer = await hub.rest('GET', '/health');
    expect(answer.status).to.equal(200);
    expect(answer.at('status')).to.equal('healthy');
    expect(answer.at('uptime')).to.be.a('number').above(0);
    expect(answer.at('timestamp')).to.be.a('number').closeTo(Date.now(), 60_000);
    expect(answer.at('agents')).to.deep.equal({ total: 0, online: 0 });
  });

  it('registers an agent and answers its token', async () => {
    const metadata = { type: 'tester', capabilities: ['a', 'b'], cpu: 2, memory: '4G', vmIp: '10.0.0.7' };
    const answer = await hub.rest('POST', '/agents/register', { agentId: 'test-agent', metadata });
    expect(answer.status).to.equal(200);
    expect(answer.at('token')).to.match(/^[0-9a-f]{64}$/);
    expect(answer.at('agent.id')).to.equal('test-agent');
    expect(answer.at('agent.status')).to.equal('offline');
    expect(answer.at('agent.metadata')).to.deep.include(metadata);
  });

  it('takes capabilities as a comma list, as the provisioner sent them', async () => {
    const metadata = { capabilities: 'build, docker' };
    const answer = await hub.rest('POST', '/agents/register', { agentId: 'comma-agent', metadata });
    expect(answer.at('agent.capabilities')).to.deep.equal(['build', 'docker']);
  });

  it('refuses a registration without agentId', async () => {
    const answer = await hub.rest('POST', '/agents/register', {});
    expect(answer.status).to.equal(400);
    expect(answer.at('message')).to.match(/agent_?id/i);
  });

  it('lists agents', async () => {
    const answer = await hub.rest('GET', '/agents');
    expect(answer.status).to.equal(200);
    const [, agent] = list(answer.json, 'agents');
    expect(agent).to.include({ id: 'test-agent', status: 'offline', lastSeen: null, lastHealthCheck: null });
    expect(answer.at('agents.1.registeredAt')).to.be.a('number').closeTo(Date.now(), 60_000);
    expect(answer.at('agents.1.currentTasks')).to.deep.equal([]);
    expect(answer.at('agents.1.stats.tasksReceived')).to.equal(0);
    expect(answer.at('agents.1.health')).to.include({ cpu: null, memory: null, disk: null, uptime: null });
  });

  it('answers the status of one agent, and 404 for another', async () => {
    const answer = await hub.rest('GET', '/agents/test-agent/status');
    expect(answer.status).to.equal(200);
    expect(answer.at('agent.id')).to.equal('test-agent');
    const unknown = await hub.rest('GET', '/agents/nobody/status');
    expect(unknown.status).to.equal(404);
    expect(unknown.at('message')).to.include('nobody');
  });

  it('accepts a task for an agent that is offline', async () => {
    const task = { type: 'exec', command: 'echo hi', allowSudo: true };
    const answer = await hub.rest('POST', '/agents/test-agent/task', task);
    expect(answer.status).to.equal(200);
    expect(answer.at('taskId')).to.match(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(answer.at('status')).to.equal('sent');
    expect(answer.at('task.state')).to.equal('QUEUED');
  });

  it('keeps the id that a task brings', async () => {
    const answer = await hub.rest('POST', '/agents/test-agent/task', {
      id: 'my-1',
      type: 'exec',
      command: 'true',
    });
    expect(answer.at('taskId')).to.equal('my-1');
  });

  it('answers stats', async () => {
    const answer = await hub.rest('GET', '/admin/stats');
    expect(answer.status).to.equal(200);
    expect(answer.at('router')).to.include({ totalAgents: 2, onlineAgents: 0, deadLetterQueueSize: 0 });
    expect(answer.at('router.historySize')).to.be.a('number');
    expect(answer.at('agents.1.id')).to.equal('test-agent');
    expect(answer.at('agents.1.stats.tasksReceived')).to.equal(2);
  });

  it('answers the dead letters and clears them', async () => {
    expect((await hub.rest('GET', '/admin/dlq')).at('deadLetterQueue')).to.deep.equal([]);
    expect((await hub.rest('DELETE', '/admin/dlq')).at('status')).to.equal('cleared');
  });

  it('answers metrics with the old names', async () => {
    const answer = await hub.rest('GET', '/metrics');
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('content-type')).to.match(/^text\/plain; version=0\.0\.4/);
    for (const name of ['vm_hub_messages_total', 'vm_hub_agents', 'vm_hub_active_tasks']) {
      expect(answer.text).to.match(new RegExp(`^# TYPE ${name} `, 'm'));
    }
    expect(answer.text).to.match(/^vm_hub_agents\{status="offline"\} 2$/m);
  });

  it('deregisters an agent, once', async () => {
    const answer = await hub.rest('DELETE', '/agents/test-agent');
    expect(answer.status).to.equal(200);
    expect(answer.at('status')).to.equal('deregistered');
    expect((await hub.rest('DELETE', '/agents/test-agent')).status).to.equal(404);
    const task = await hub.rest('GET', '/tasks/my-1');
    expect(task.at('task.state')).to.equal('CANCELLED');
    expect(task.at('task.outcome.reason')).to.equal('AGENT_DESTROYED');
  });
});
