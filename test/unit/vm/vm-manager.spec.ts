import { expect } from 'chai';
import { onAbort } from '../../../src/base/abort.js';
import { systemClock } from '../../../src/base/clock.js';
import { deferred } from '../../../src/base/deferred.js';
import { silentLogger } from '../../../src/base/logger.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { Vm, VmState } from '../../../src/model/vm.js';
import type { MachineEvents } from '../../../src/vm/machine-events.js';
import { VmManager, type VmManagerOptions } from '../../../src/vm/vm-manager.js';
import { FakeVmProvider } from '../../support/fake-vm-provider.js';
import { MemoryVmRecords } from '../../support/memory-vm-records.js';

const never = new AbortController().signal;

describe('VmManager', () => {
  let provider: FakeVmProvider;
  let records: MemoryVmRecords;
  let told: string[];
  let states: VmState[];
  let events: MachineEvents;
  let vms: VmManager;

  beforeEach(() => {
    provider = new FakeVmProvider();
    records = new MemoryVmRecords();
    told = [];
    states = [];
    events = {
      changed: async (vm) => {
        expect(records.rows.get(vm.name), 'stored before told').to.deep.equal(vm);
        if (states.at(-1) !== vm.state) states.push(vm.state);
      },
      fence: async (name, reason, generation) => {
        told.push(`fence ${name} ${reason} ${generation}`);
        provider.calls.push('fence');
      },
      freeze: async () => {
        provider.calls.push('freeze');
        return async () => void provider.calls.push('resume');
      },
      online: async (name, generation) => void told.push(`online ${name} ${generation}`),
    };
    vms = manager();
  });

  afterEach(() => vms.close());

  function manager(more: Partial<VmManagerOptions> = {}): VmManager {
    const parts = { providers: [provider], records, events, door: () => 'unix:/run/door' };
    return new VmManager({ ...parts, clock: systemClock, log: silentLogger, ...more });
  }

  const create = (name = 'dev', more = {}) =>
    vms.create({ name, allowHostSudo: false, joinSecret: 'join me', ...more }, never);

  describe('create', () => {
    it('makes and boots a machine and stores it without the secret', async () => {
      const vm = await create('dev', { cpu: 1, memory: '1G', disk: '10G' });
      expect(vm).to.include({ name: 'dev', provider: 'qemu', state: 'RUNNING', generation: 1, error: '' });
      expect(vm.resources).to.deep.equal({ cpu: 1, memoryBytes: 1024 ** 3, diskBytes: 10 * 1024 ** 3 });
      expect(vm.stages.map((stage) => stage.name)).to.deep.equal(['disk', 'boot']);
      expect(vm.stages.every((stage) => stage.durationMs !== undefined)).to.equal(true);
      expect(states).to.deep.equal(['CREATING', 'RUNNING']);
      const boot = { agentId: 'dev', door: 'unix:/run/door', joinSecret: 'join me', vmGeneration: 1 };
      expect(provider.boots).to.deep.equal([boot]);
      expect(JSON.stringify([...records.rows])).to.not.contain('join me');
    });

    it('takes the preferred provider that works', async () => {
      const local = new FakeVmProvider('local');
      const incus = new FakeVmProvider('incus');
      provider.works = { works: false, reason: 'no KVM' };
      vms = manager({ providers: [local, incus, provider] });
      expect((await create()).provider).to.equal('incus');
      const infos = await vms.providers();
      expect(infos.map((item) => item.name)).to.deep.equal(['qemu', 'incus', 'local']);
      expect(infos.map((item) => item.isDefault)).to.deep.equal([false, true, false]);
      expect(infos[0]).to.include({ available: false, reason: 'no KVM' });
    });

    it('refuses unknown and broken providers, bad names and too much, and keeps nothing of them', async () => {
      expect(await reasonOf(create('dev', { provider: 'vmware' }))).to.equal('PROVIDER_NOT_FOUND');
      expect(await reasonOf(create('../etc'))).to.equal('INVALID_FIELD');
      expect(await reasonOf(create('dev', { cpu: 64 }))).to.equal('RESOURCES_EXCEEDED');
      provider.works = { works: false, reason: 'no KVM' };
      const err = HubError.from(await create().catch((thrown: unknown) => thrown));
      expect(err.reason).to.equal('PROVIDER_UNAVAILABLE');
      expect(err.message).to.contain('no KVM');
      expect(vms.list()).to.deep.equal([]);
      expect(provider.calls).to.deep.equal([]);
    });

    for (const reason of ['IMAGE_NOT_FOUND', 'IMAGE_BROKEN', 'TOOL_MISSING', 'DISK_FULL'] as const) {
      it(`leaves nothing when the provider refuses it (${reason})`, async () => {
        provider.hook = async (call) => {
          if (call === 'create') throw new HubError(reason, 'not like this');
        };
        expect(await reasonOf(create())).to.equal(reason);
        expect(vms.list()).to.deep.equal([]);
        expect(provider.calls).to.deep.equal(['create', 'destroy']);
      });
    }

    it('leaves a stopped machine with the reason when it fails, which may be made again', async () => {
      provider.hook = async (call) => {
        if (call === 'start') throw new Error('no kernel');
      };
      expect(await reasonOf(create())).to.equal('VM_FAILED');
      expect(vms.get('dev')).to.include({
        state: 'FAILED',
        error: 'create: the create of dev failed: no kernel',
      });
      expect(provider.calls).to.deep.equal(['create', 'start', 'stop --force']);
      expect(await vms.consoleTail('dev')).to.equal('fake kernel panic');
      provider.hook = async () => {};
      expect(await create()).to.include({ state: 'RUNNING' });
      expect(await reasonOf(create())).to.equal('AGENT_EXISTS');
    });

    it('tells whoever waits for the agent at once, with the console, when the machine ends before', async () => {
      await create();
      events.online = async (_name, _generation, signal) => {
        provider.states.set('dev', 'stopped');
        await untilAbort(signal);
      };
      const err = HubError.from(await vms.untilOnline('dev', never).catch((thrown: unknown) => thrown));
      expect(err).to.include({ reason: 'VM_FAILED' });
      expect(err.message).to.match(/ended before its agent was connected.*fake kernel panic/);
      expect(vms.get('dev').stages.at(-1)).to.include({ name: 'agent' });
    });

    it('is ended by a destroy, and nothing stays', async () => {
      const entered = deferred();
      provider.hook = (call, signal) => {
        if (call !== 'create') return Promise.resolve();
        entered.resolve();
        return untilAbort(signal);
      };
      const making = reasonOf(create());
      await entered.promise;
      await vms.destroy('dev', never);
      expect(await making).to.equal('CANCELLED');
      expect(vms.list()).to.deep.equal([]);
      expect([...provider.states]).to.deep.equal([]);
    });

    it('ends at its deadline', async () => {
      vms = manager({ deadlines: { create: 30 } });
      provider.hook = (call, signal) => (call === 'start' ? untilAbort(signal) : Promise.resolve());
      expect(await reasonOf(create())).to.equal('DEADLINE_EXCEEDED');
      expect(vms.get('dev').error).to.contain('took longer than 0.03 s');
    });

    it('ends when the manager closes', async () => {
      const entered = deferred();
      provider.hook = (call, signal) => {
        if (call !== 'start') return Promise.resolve();
        entered.resolve();
        return untilAbort(signal);
      };
      const making = reasonOf(create());
      await entered.promise;
      await vms.close();
      expect(await making).to.equal('HUB_STOPPING');
      expect(await reasonOf(create('other'))).to.equal('HUB_STOPPING');
    });
  });

  describe('stop and start', () => {
    it('fences before it stops, and starts without the secret', async () => {
      await create();
      expect(await vms.stop('dev', false, never)).to.include({ state: 'STOPPED' });
      expect(vms.get('dev').startMs).to.equal(undefined);
      expect(provider.calls.slice(-2)).to.deep.equal(['fence', 'stop']);
      expect(await vms.start('dev', never)).to.include({ state: 'RUNNING', generation: 1 });
      expect(provider.boots.at(-1)?.joinSecret).to.equal(undefined);
      expect(told).to.deep.equal(['fence dev VM_STOPPED 1', 'online dev 1']);
    });

    it('do nothing when it is so already', async () => {
      await create();
      await Promise.all([vms.start('dev', never), vms.start('dev', never)]);
      await Promise.all([vms.stop('dev', true, never), vms.stop('dev', true, never)]);
      expect(provider.calls).to.deep.equal(['create', 'start', 'fence', 'stop --force']);
    });

    it('start a machine that ended by itself', async () => {
      await create();
      provider.states.set('dev', 'stopped');
      expect(await vms.start('dev', never)).to.include({ state: 'RUNNING' });
      expect(provider.boots).to.have.length(2);
    });

    it('give up with the console when the machine ends before its agent is there', async () => {
      await create();
      await vms.stop('dev', false, never);
      events.online = async (_name, _generation, signal) => {
        provider.states.set('dev', 'stopped');
        await untilAbort(signal);
      };
      const err = HubError.from(await vms.start('dev', never).catch((thrown: unknown) => thrown));
      expect(err.reason).to.equal('VM_FAILED');
      expect(err.message).to.contain('fake kernel panic');
      expect(vms.get('dev').state).to.equal('FAILED');
      expect(vms.get('dev').stages.find((stage) => stage.name === 'agent')?.error).to.contain('ended before');
    });

    it('refuse what is not there', async () => {
      expect(await reasonOf(vms.start('dev', never))).to.equal('VM_NOT_FOUND');
      expect(await reasonOf(vms.stop('dev', false, never))).to.equal('VM_NOT_FOUND');
      await vms.destroy('dev', never);
    });
  });

  describe('what a machine reaches', () => {
    it('is the default of the provider, or what was asked', async () => {
      expect((await create()).network).to.equal('host');
      expect((await create('other', { network: 'isolated' })).network).to.equal('isolated');
    });

    it('is refused where the provider has not got it, naming what it has', async () => {
      const err = HubError.from(
        await create('dev', { network: 'internet' }).catch((thrown: unknown) => thrown),
      );
      expect(err.fields).to.deep.equal([
        { field: 'network', description: 'one of host, isolated with the qemu provider' },
      ]);
      expect(vms.list()).to.deep.equal([]);
    });

    it('is that of the host for a record of a hub that did not know networks', async () => {
      await create();
      const { network: _, ...old } = vms.get('dev');
      records.rows.set('dev', old as Vm);
      await vms.close();
      vms = manager();
      await vms.recover();
      expect(vms.get('dev')).to.include({ state: 'RUNNING', network: 'host' });
    });
  });

  it('takes the provider that is set when none is named', async () => {
    const local = new FakeVmProvider('local');
    vms = manager({ providers: [local, provider], provider: 'local' });
    expect((await create()).provider).to.equal('local');
    expect((await vms.providers()).map((info) => info.isDefault)).to.deep.equal([false, true]);
    vms = manager({ provider: 'vmware' });
    expect(await reasonOf(create('other'))).to.equal('PROVIDER_NOT_FOUND');
  });

  it('records how a machine was started, and answers what it uses while it runs', async () => {
    const acceleration = { kind: 'tcg', reason: 'guests hang' } as const;
    const usage = { cpuSeconds: 1, memoryBytes: 2, diskBytes: 3 };
    Object.assign(provider, { acceleration: async () => acceleration, usage: async () => usage });
    expect((await create()).acceleration).to.deep.equal(acceleration);
    expect(records.rows.get('dev')?.acceleration).to.deep.equal(acceleration);
    expect((await vms.providers())[0]?.acceleration).to.deep.equal(acceleration);
    expect(await vms.usage('dev', never)).to.deep.equal(usage);
    Object.assign(provider, { usage: () => Promise.reject(new Error('no QMP')) });
    expect(await vms.usage('dev', never)).to.equal(undefined);
    await vms.stop('dev', false, never);
    expect(await vms.usage('dev', never)).to.equal(undefined);
  });

  it('answers the last lines of the console', async () => {
    await create();
    provider.consoleTail = async () => 'one\ntwo\nthree\n';
    expect(await vms.console('dev')).to.equal('one\ntwo\nthree\n');
    expect(await vms.console('dev', 2)).to.equal('two\nthree\n');
    expect(await vms.console('dev', 9)).to.equal('one\ntwo\nthree\n');
    expect(await reasonOf(vms.console('other'))).to.equal('VM_NOT_FOUND');
  });

  describe('resize', () => {
    const asked: unknown[] = [];
    beforeEach(() => {
      asked.length = 0;
      const resize = async (_name: string, resources: unknown) => {
        asked.push(resources);
        return 'at_next_start';
      };
      Object.assign(provider, { resize });
      return create('dev', { cpu: 1, memory: '1G', disk: '10G' });
    });

    it('changes what is named and keeps the rest', async () => {
      const { vm, restartNeeded } = await vms.resize('dev', { memory: '2G' }, never);
      const resources = { cpu: 1, memoryBytes: 2 * 1024 ** 3, diskBytes: 10 * 1024 ** 3 };
      expect([vm.resources, restartNeeded]).to.deep.equal([resources, true]);
      expect(asked).to.deep.equal([resources]);
      expect(records.rows.get('dev')?.resources).to.deep.equal(resources);
    });

    it('refuses a smaller disk, bad sizes, nothing, and more than the host has', async () => {
      expect(await fieldsOf(vms.resize('dev', { disk: '9G' }, never))).to.deep.equal(['disk']);
      expect(await fieldsOf(vms.resize('dev', { cpu: 300, memory: '2x' }, never))).to.deep.equal([
        'cpu',
        'memory',
      ]);
      expect(await fieldsOf(vms.resize('dev', {}, never))).to.deep.equal(['cpu']);
      expect(await reasonOf(vms.resize('dev', { memory: '64G' }, never))).to.equal('RESOURCES_EXCEEDED');
      expect(await reasonOf(vms.resize('other', { cpu: 1 }, never))).to.equal('VM_NOT_FOUND');
      expect(asked).to.deep.equal([]);
    });

    it('asks of the host only what a disk grows by', async () => {
      await vms.resize('dev', { disk: '55G' }, never);
      expect(asked).to.have.length(1);
      expect(await reasonOf(vms.resize('dev', { disk: '110G' }, never))).to.equal('RESOURCES_EXCEEDED');
    });

    it('keeps what it was when the provider fails', async () => {
      Object.assign(provider, { resize: () => Promise.reject(new HubError('DISK_FULL', 'no room')) });
      expect(await reasonOf(vms.resize('dev', { disk: '20G' }, never))).to.equal('DISK_FULL');
      expect(vms.get('dev').resources.diskBytes).to.equal(10 * 1024 ** 3);
    });

    it('is refused by a provider that has limits and cannot change them', async () => {
      Object.assign(provider, { resize: undefined });
      expect(await reasonOf(vms.resize('dev', { cpu: 2 }, never))).to.equal('NOT_SUPPORTED');
      provider.capabilities = { ...provider.capabilities, enforces: [] };
      const { vm, restartNeeded } = await vms.resize('dev', { cpu: 64 }, never);
      expect([vm.resources.cpu, restartNeeded]).to.deep.equal([64, false]);
    });
  });

  describe('the life of a machine', () => {
    it('is recorded from its making on', async () => {
      const { life } = await create('dev', { life: { ttlMs: 1000, onExpire: 'stop' } });
      expect(life).to.include({ ttlMs: 1000, onExpire: 'stop', problem: '' });
      expect(records.rows.get('dev')?.life).to.deep.equal(life);
      expect((await create('other', { life: { onExpire: 'stop' } })).life).to.equal(undefined);
    });

    it('cannot end with a snapshot where there are none', async () => {
      provider.capabilities = { ...provider.capabilities, snapshot: false };
      const life = { ttlMs: 1000, onExpire: 'snapshot' };
      expect(await fieldsOf(create('dev', { life }))).to.deep.equal(['onExpire']);
      expect(vms.list()).to.deep.equal([]);
    });

    it('is kept by keep-alives, where there is a limit', async () => {
      await create('dev', { life: { idleStopMs: 1000, onExpire: 'stop' } });
      await create('other');
      const { life } = await vms.keepAlive('dev', 60_000);
      expect(life?.keepUntilMs).to.be.closeTo(Date.now() + 60_000, 5_000);
      expect(records.rows.get('dev')?.life).to.deep.equal(life);
      expect(await reasonOf(vms.keepAlive('other', 60_000))).to.equal('ILLEGAL_STATE');
    });
  });

  describe('snapshots', () => {
    it('freeze the tasks of a running machine and let them go on, also after a failure', async () => {
      await create();
      await vms.snapshot('dev', 'clean', 'text', never);
      expect(provider.calls.slice(2)).to.deep.equal(['freeze', 'snapshot', 'resume']);
      provider.hook = async () => {
        throw new Error('disk full');
      };
      expect(await reasonOf(vms.snapshot('dev', 'more', '', never))).to.equal('VM_FAILED');
      expect(provider.calls.slice(-3)).to.deep.equal(['freeze', 'snapshot', 'resume']);
      expect(vms.get('dev').state).to.equal('RUNNING');
    });

    it('go on without the agent only where the provider stops the processes itself', async () => {
      await create();
      events.freeze = async () => {
        throw new HubError('AGENT_OFFLINE', 'not connected');
      };
      expect(await reasonOf(vms.snapshot('dev', 'clean', '', never))).to.equal('AGENT_OFFLINE');
      provider.capabilities = { ...provider.capabilities, freezes: true };
      expect(await vms.snapshot('dev', 'clean', '', never)).to.include({ name: 'clean' });
    });

    it('are refused where there are none', async () => {
      await create();
      provider.capabilities = { ...provider.capabilities, snapshot: false };
      expect(await reasonOf(vms.snapshot('dev', 'clean', '', never))).to.equal('NOT_SUPPORTED');
    });

    it('get a name of their own when none is given', async () => {
      await create();
      expect((await vms.snapshot('dev', '', '', never)).name).to.match(/^snapshot-\d+$/);
      expect(await reasonOf(vms.snapshot('dev', '../up', '', never))).to.equal('INVALID_FIELD');
    });
  });

  describe('restore', () => {
    it('stores the new generation and fences before anything is touched', async () => {
      await create();
      await vms.snapshot('dev', 'clean', '', never);
      provider.calls.length = 0;
      events.fence = async (_name, reason, generation) => {
        expect(records.rows.get('dev')).to.include({ state: 'RESTORING', generation });
        provider.calls.push(`fence ${reason} ${generation}`);
      };
      expect(await vms.restore('dev', 'clean', never)).to.include({ state: 'RUNNING', generation: 2 });
      expect(provider.calls).to.deep.equal(['fence RESTORED 2', 'stop --force', 'restore', 'start']);
      expect(provider.boots.at(-1)).to.include({ vmGeneration: 2 });
      expect(told).to.deep.equal(['online dev 2']);
    });

    it('refuses an unknown snapshot before anything happens, naming the known', async () => {
      await create();
      await vms.snapshot('dev', 'clean', '', never);
      const err = HubError.from(await vms.restore('dev', 'other', never).catch((thrown: unknown) => thrown));
      expect(err.reason).to.equal('SNAPSHOT_NOT_FOUND');
      expect(err.message).to.contain('it has: clean');
      expect(vms.get('dev')).to.include({ state: 'RUNNING', generation: 1 });
    });
  });

  describe('recover', () => {
    const cases: readonly (readonly [VmState, 'running' | 'stopped' | 'unknown', VmState, string])[] = [
      ['RUNNING', 'running', 'RUNNING', ''],
      ['RUNNING', 'stopped', 'STOPPED', ''],
      ['RUNNING', 'unknown', 'RUNNING', ''],
      ['STARTING', 'running', 'RUNNING', ''],
      ['STARTING', 'stopped', 'STOPPED', ''],
      ['STOPPING', 'running', 'STOPPED', 'stop --force'],
      ['STOPPED', 'stopped', 'STOPPED', ''],
      ['CREATING', 'running', 'RUNNING', ''],
      ['CREATING', 'stopped', 'FAILED', 'destroy'],
      ['CREATING', 'unknown', 'CREATING', ''],
      ['RESTORING', 'running', 'FAILED', 'stop --force'],
      ['FAILED', 'stopped', 'FAILED', ''],
    ];
    for (const [before, found, after, call] of cases) {
      it(`makes a ${before} machine that is ${found} ${after}`, async () => {
        await leave(before, { stages: [] });
        provider.states.set('dev', found);
        provider.calls.length = 0;
        await vms.recover();
        expect(vms.get('dev').state).to.equal(after);
        expect(provider.calls).to.deep.equal(call === '' ? [] : [call]);
        if (after === 'FAILED' && before !== 'FAILED')
          expect(vms.get('dev').error).to.contain('the hub stopped');
        if (found === 'unknown') expect(vms.get('dev').error).to.contain('cannot say');
      });
    }

    it('destroys what was being destroyed', async () => {
      await leave('DESTROYING');
      await vms.recover();
      expect(vms.list()).to.deep.equal([]);
      expect([...provider.states]).to.deep.equal([]);
    });

    it('completes a restore whose files were in place', async () => {
      const disk = { name: 'disk', detail: 'going back to clean', durationMs: 5 } as const;
      await leave('RESTORING', { generation: 2, stages: [disk] });
      provider.states.set('dev', 'stopped');
      await vms.recover();
      expect(await vms.start('dev', never)).to.include({ state: 'RUNNING', generation: 2 });
      expect(provider.boots.at(-1)).to.include({ vmGeneration: 2 });
      expect(provider.boots).to.have.length(2);
    });

    it('never touches machines without a record', async () => {
      provider.states.set('stranger', 'running');
      await vms.recover();
      expect(provider.calls).to.deep.equal([]);
      expect([...provider.states.keys()]).to.deep.equal(['stranger']);
    });

    /** A hub that died while the machine was in this state. */
    async function leave(state: VmState, more: Partial<Vm> = {}): Promise<void> {
      const vm = await create();
      await vms.close();
      await records.put({ ...vm, state, ...more });
      vms = manager();
    }
  });

  it('keeps a stage of the hub in the place of the running one', async () => {
    await create();
    await vms.stage('dev', { name: 'agent', detail: 'waiting' });
    await vms.stage('dev', { name: 'agent', detail: 'connected', durationMs: 7 });
    const stages = vms.get('dev').stages.filter((stage) => stage.name === 'agent');
    expect(stages).to.deep.equal([{ name: 'agent', detail: 'connected', durationMs: 7 }]);
  });
});

function untilAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => void onAbort(signal, reject));
}

async function fieldsOf(work: Promise<unknown>): Promise<readonly string[]> {
  const err = HubError.from(await work.catch((thrown: unknown) => thrown));
  return err.fields.map(({ field }) => field);
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'it was not refused',
    (err: unknown) => HubError.from(err).reason,
  );
}
