import { expect } from 'chai';
import type { Machines } from '../../../src/hub/machines.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { Vm } from '../../../src/model/vm.js';
import { HubHarness } from '../../support/hub-harness.js';
import { sampleAgent } from '../../support/samples.js';

describe('a hub that comes back', () => {
  it('completes what was half made or half removed, or says that it failed', async () => {
    const harness = await HubHarness.start();
    const { agents } = harness.ctx.store;
    await agents.create(sampleAgent('running', { hasVm: true, phase: 'CREATING' }));
    await agents.create(sampleAgent('gone', { hasVm: true, phase: 'CREATING' }));
    await agents.create(sampleAgent('half-removed', { hasVm: true, phase: 'DESTROYING' }));
    const queued = await harness.post('half-removed');
    await harness.stop();
    const destroyed: string[] = [];
    const machines: Partial<Machines> = {
      get: (name) => {
        if (name === 'running') return { name, state: 'RUNNING' } as Vm;
        throw new HubError('VM_NOT_FOUND', name);
      },
      destroy: async (name) => void destroyed.push(name),
    };
    const again = await HubHarness.start({}, harness.dir, machines);
    await again.hub.recover();
    expect((await again.hub.agents.get('running')).state).to.equal('OFFLINE');
    expect(await again.hub.agents.get('gone')).to.include({ state: 'FAILED', stateReason: 'HUB_RESTARTED' });
    expect(destroyed).to.deep.equal(['half-removed']);
    expect((await again.hub.tasks.get(queued.id)).task.outcome?.reason).to.equal('AGENT_DESTROYED');
    const left = await again.hub.agents.list({ limit: 10 });
    expect(left.map((view) => view.record.id)).to.deep.equal(['gone', 'running']);
    await again.close();
  });
});
