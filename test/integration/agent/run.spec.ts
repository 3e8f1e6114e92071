import { expect } from 'chai';
import { AgentHarness } from '../../support/agent-harness.js';

describe('agent', () => {
  let harness: AgentHarness;

  beforeEach(async () => {
    harness = new AgentHarness();
    await harness.start();
  });
  afterEach(() => harness.close());

  it('introduces itself with its name and secret', () => {
    expect(harness.hub.metadata[0]?.get('x-agent-id')).to.deep.equal(['my-agent']);
    expect(harness.hub.metadata[0]?.get('authorization')).to.deep.equal(['Bearer secret']);
    expect(harness.hub.hellos[0]).to.deep.include({
      agentId: 'my-agent',
      protocol: 1,
      capabilities: ['git'],
    });
  });

  it('runs a command and reports its start, its end and its output', async () => {
    const end = await harness.hub.exec('t1', 'echo out; echo bad >&2; exit 3');
    expect(end).to.include({ state: 'FAILED' });
    expect(end.outcome).to.deep.include({ exitCode: 3, reason: 'EXITED', stdoutBytes: 4, stderrBytes: 4 });
    expect(end.outcome).to.deep.include({ stdoutTail: 'out\n', stderrTail: 'bad\n', killed: false });
    expect(harness.hub.output('t1').toString()).to.equal('out\n');
    expect(harness.hub.output('t1', 'STDERR').toString()).to.equal('bad\n');
    expect(harness.hub.reportsOf('t1').map(({ state }) => state)).to.deep.equal(['RUNNING', 'FAILED']);
  });
});
