import { expect } from 'chai';
import { systemClock } from '../../../src/base/clock.js';
import { silentLogger } from '../../../src/base/logger.js';
import type { MachineEvents } from '../../../src/vm/machine-events.js';
import { VmManager } from '../../../src/vm/vm-manager.js';
import { type LocalHarness, localHarness } from '../../support/local-harness.js';
import { MemoryVmRecords } from '../../support/memory-vm-records.js';

const soon = () => AbortSignal.timeout(60_000);

describe('VmManager with the local provider', () => {
  let harness: LocalHarness;
  let records: MemoryVmRecords;
  let vms: VmManager;

  beforeEach(async () => {
    harness = await localHarness();
    records = new MemoryVmRecords();
    vms = manager();
  });

  afterEach(async () => {
    for (const vm of vms.list()) await vms.destroy(vm.name, soon());
    await vms.close();
    expect(await harness.leftovers('dev')).to.deep.equal([]);
    await harness.close();
  });

  /** The stand-in is online once it answers. */
  function manager(): VmManager {
    const events: MachineEvents = {
      changed: async () => {},
      fence: async () => {},
      freeze: async () => async () => {},
      online: async (name) => void (await harness.exec(name, 'true')),
    };
    const door = () => harness.boot('dev', 1, false).door;
    const parts = { providers: [harness.again()], records, events, door };
    return new VmManager({ ...parts, clock: systemClock, log: silentLogger });
  }

  const create = (more = {}) =>
    vms.create({ name: 'dev', allowHostSudo: false, joinSecret: 'join me', ...more }, soon());
  const sh = async (command: string) => (await harness.exec('dev', command)).output.trim();

  it('records limits that nobody enforces, and says so', async () => {
    const vm = await create({ cpu: 64, memory: '8T', disk: '400T' });
    expect(vm).to.include({ provider: 'local', state: 'RUNNING' });
    expect(vm.resources.cpu).to.equal(64);
    expect(vm.isolation.notEnforced).to.deep.equal(['cpu', 'memory', 'disk']);
    expect(vm.isolation.securityBoundary).to.equal(false);
    expect(vm.isolation.notes.join(' ')).to.contain('not a security boundary');
    expect((await vms.providers())[0]).to.include({ name: 'local', available: true, isDefault: true });
  });

  it('brings a deleted file back', async () => {
    await create();
    await sh('mkdir -p /opt/repo && echo precious > /opt/repo/file');
    await vms.snapshot('dev', 'clean', 'before', soon());
    for (const generation of [2, 3]) {
      await sh('rm -r /opt/repo');
      const vm = await vms.restore('dev', 'clean', soon());
      expect(vm).to.include({ state: 'RUNNING', generation });
      expect(await sh('cat /opt/repo/file')).to.equal('precious');
      expect(JSON.parse(await sh('cat /mnt/config.json')).vmGeneration).to.equal(generation);
    }
    await vms.deleteSnapshot('dev', 'clean', soon());
    expect(await vms.snapshots('dev')).to.deep.equal([]);
  });

  it('adopts a machine that outlived the manager before', async () => {
    await create();
    const pid = await sh('echo $PPID; echo kept > ~/note');
    await vms.close();
    vms = manager();
    await vms.recover();
    expect(vms.get('dev')).to.include({ state: 'RUNNING' });
    await vms.start('dev', soon());
    expect(await sh('echo $PPID')).to.equal(pid);
    expect(await vms.restart('dev', soon())).to.include({ state: 'RUNNING', generation: 1 });
    expect(await sh('cat ~/note')).to.equal('kept');
  });

  it('destroys a machine while it is made', async () => {
    const making = create().then(
      () => 'made',
      () => 'ended',
    );
    await vms.destroy('dev', soon());
    await making;
    expect(vms.list()).to.deep.equal([]);
  });
});
