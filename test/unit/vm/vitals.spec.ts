import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import type { MachineEvents } from '../../../src/vm/machine-events.js';
import { Vitals } from '../../../src/vm/vitals.js';
import { VmManager } from '../../../src/vm/vm-manager.js';
import { FakeVmProvider } from '../../support/fake-vm-provider.js';
import { MemoryVmRecords } from '../../support/memory-vm-records.js';

const never = new AbortController().signal;

describe('Vitals', () => {
  let provider: FakeVmProvider;
  let fenced: string[];
  let vms: VmManager;
  let vitals: Vitals;

  beforeEach(async () => {
    provider = new FakeVmProvider();
    fenced = [];
    const events: MachineEvents = {
      changed: async () => {},
      fence: async (name, reason) => void fenced.push(`${name} ${reason}`),
      freeze: async () => async () => {},
      online: async () => {},
    };
    const parts = { providers: [provider], records: new MemoryVmRecords(), events, door: () => 'unix:/door' };
    vms = new VmManager({ ...parts, clock: systemClock, log: silentLogger });
    vitals = new Vitals({ machines: vms, clock: systemClock, log: silentLogger });
    await vms.create({ name: 'dev', allowHostSudo: false, joinSecret: 'join me' }, never);
  });

  afterEach(async () => {
    await vitals.close();
    await vms.close();
  });

  it('leaves a machine alone that runs', async () => {
    await vitals.sweep();
    expect(vms.get('dev').state).to.equal('RUNNING');
    expect(fenced).to.deep.equal([]);
  });

  it('ends what a machine that is gone had in hand, and says how to bring it back', async () => {
    provider.states.set('dev', 'stopped');
    await vitals.sweep();
    const { state, error } = vms.get('dev');
    expect(state).to.equal('STOPPED');
    expect(error).to.contain('vm-agent start dev').and.to.contain('fake kernel panic');
    expect(fenced).to.deep.equal(['dev VM_STOPPED']);
  });

  it('never reads a state that is not known as an end', async () => {
    provider.states.set('dev', 'unknown');
    await vitals.sweep();
    expect(vms.get('dev').state).to.equal('RUNNING');
  });

  it('does not disturb an operation that is under way', async () => {
    let inside = () => {};
    const begun = new Promise<void>((resolve) => {
      provider.hook = async (call) => {
        if (call !== 'stop') return;
        resolve();
        await new Promise<void>((go) => {
          inside = go;
        });
      };
    });
    const stopping = vms.stop('dev', false, never);
    await begun;
    provider.states.set('dev', 'stopped');
    await vitals.sweep();
    expect(fenced).to.deep.equal(['dev VM_STOPPED']);
    inside();
    expect((await stopping).error).to.equal('');
  });
});
