import { expect } from 'chai';
import { deferred } from '../../../src/base/deferred.js';
import { silentLogger } from '../../../src/base/logger.js';
import { HubError } from '../../../src/model/hub-error.js';
import type { LifePolicy, Vm } from '../../../src/model/vm.js';
import { expireMs } from '../../../src/model/vm-life.js';
import { Expiry } from '../../../src/vm/expiry.js';
import type { MachineEvents } from '../../../src/vm/machine-events.js';
import { VmManager } from '../../../src/vm/vm-manager.js';
import { FakeClock } from '../../support/fake-clock.js';
import { FakeVmProvider } from '../../support/fake-vm-provider.js';
import { MemoryVmRecords } from '../../support/memory-vm-records.js';

const never = new AbortController().signal;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('Expiry', () => {
  let clock: FakeClock;
  let provider: FakeVmProvider;
  let records: MemoryVmRecords;
  let vms: VmManager;
  let expiry: Expiry;
  let busy: Set<string>;
  let told: string[];
  let removed: string[];
  /** Takes the place of the hub's removal of an agent. */
  let remove: (agent: string) => Promise<void>;
  /** Runs while the hub is told that a machine is being ended. */
  let telling: () => Promise<void>;

  beforeEach(async () => {
    clock = new FakeClock();
    provider = new FakeVmProvider();
    records = new MemoryVmRecords();
    busy = new Set();
    told = [];
    removed = [];
    remove = (agent) => vms.destroy(agent, never);
    telling = async () => {};
    open();
    await expiry.sweep();
  });

  afterEach(close);

  function open(): void {
    const events: MachineEvents = {
      changed: async () => {},
      fence: async () => {},
      freeze: async () => async () => {},
      online: async () => {},
    };
    const parts = { providers: [provider], records, events, door: () => 'unix:/run/door' };
    vms = new VmManager({ ...parts, clock, log: silentLogger });
    const use = {
      busy: async (agents: readonly string[]) => new Set(agents.filter((agent) => busy.has(agent))),
      remove: async (agent: string) => {
        removed.push(agent);
        await remove(agent);
      },
      expiring: async (agent: string, cause: string, message: string) => {
        told.push(`${agent} ${cause} ${message}`);
        await telling();
      },
    };
    expiry = new Expiry({ machines: vms, use, clock, log: silentLogger, random: () => 1 });
  }

  async function close(): Promise<void> {
    await expiry.close();
    await vms.close();
  }

  /** Another hub on the same records. */
  async function restartAfter(awayMs: number): Promise<void> {
    await close();
    clock.restart(awayMs);
    open();
    await vms.recover();
    await expiry.sweep();
  }

  async function create(life?: Partial<LifePolicy>, name = 'dev'): Promise<Vm> {
    const policy = life === undefined ? {} : { life: { onExpire: 'stop', ...life } as const };
    const machine = { name, memory: '1G', allowHostSudo: false, joinSecret: 'x', ...policy };
    const vm = await vms.create(machine, never);
    provider.calls.length = 0;
    return vm;
  }

  /** Time passes in steps as a hub looks; answers what was asked of the provider. */
  async function pass(ms: number, stepMs = 5_000): Promise<readonly string[]> {
    for (let left = ms; left > 0; left -= stepMs) {
      clock.pass(Math.min(stepMs, left));
      await expiry.sweep();
      await expiry.settled();
    }
    return provider.calls;
  }

  const state = (name = 'dev') => vms.get(name).state;

  it('leaves machines alone that have no limit', async () => {
    await create();
    expect(await pass(48 * HOUR, HOUR)).to.deep.equal([]);
    expect(vms.get('dev').life).to.equal(undefined);
  });

  describe('ttl', () => {
    it('stops the machine when it is over, not before, and tells it', async () => {
      await create({ ttlMs: HOUR });
      expect(await pass(HOUR - 10_000)).to.deep.equal([]);
      expect(await pass(10_000)).to.deep.equal(['stop']);
      expect(state()).to.equal('STOPPED');
      expect(told).to.deep.equal(['dev TTL its ttl is over: it is stopped']);
      expect(await pass(HOUR, MINUTE / 12)).to.deep.equal(['stop']);
    });

    it('destroys it with its agent, also when it was stopped before', async () => {
      await create({ ttlMs: MINUTE, onExpire: 'destroy' });
      await vms.stop('dev', false, never);
      await pass(2 * MINUTE);
      expect(removed).to.deep.equal(['dev']);
      expect(vms.list()).to.deep.equal([]);
    });

    it('takes a snapshot and stops it', async () => {
      await create({ ttlMs: MINUTE, onExpire: 'snapshot' });
      expect(await pass(MINUTE)).to.deep.equal(['snapshot', 'stop']);
      expect(provider.saved[0]?.name).to.match(/^expired-\d+$/);
      expect(state()).to.equal('STOPPED');
    });

    it('waits until nothing goes on in it', async () => {
      await create({ ttlMs: MINUTE });
      busy.add('dev');
      expect(await pass(10 * MINUTE)).to.deep.equal([]);
      busy.delete('dev');
      expect(await pass(5_000)).to.deep.equal(['stop']);
    });

    it('is held off by a keep-alive, which a shorter one does not shorten', async () => {
      await create({ ttlMs: MINUTE });
      await vms.keepAlive('dev', 30 * MINUTE);
      await vms.keepAlive('dev', MINUTE);
      expect(await pass(29 * MINUTE)).to.deep.equal([]);
      expect(await pass(MINUTE)).to.deep.equal(['stop']);
    });

    it('begins anew when somebody starts it after its end', async () => {
      await create({ ttlMs: MINUTE });
      await pass(MINUTE);
      await pass(HOUR, MINUTE / 12);
      provider.calls.length = 0;
      await vms.start('dev', never);
      expect(await pass(MINUTE - 5_000)).to.deep.equal(['start']);
      expect(await pass(5_000)).to.deep.equal(['start', 'stop']);
    });
  });

  describe('idle stop', () => {
    it('counts from the last time that something went on', async () => {
      await create({ idleStopMs: 10 * MINUTE });
      await pass(9 * MINUTE);
      busy.add('dev');
      await pass(5_000);
      busy.delete('dev');
      expect(await pass(9 * MINUTE)).to.deep.equal([]);
      expect(await pass(MINUTE)).to.deep.equal(['stop']);
      expect(told).to.deep.equal(['dev IDLE it was idle for longer than its idle stop: it is stopped']);
    });

    it('counts an operation on the machine as activity', async () => {
      await create({ idleStopMs: MINUTE });
      const { promise, resolve } = deferred();
      provider.hook = () => promise;
      const snapshot = vms.snapshot('dev', 'clean', '', never);
      expect(await pass(10 * MINUTE)).to.deep.equal(['snapshot']);
      resolve();
      await snapshot;
      expect(await pass(MINUTE)).to.deep.equal(['snapshot', 'stop']);
    });

    it('does not stop what is stopped, and begins anew with a start', async () => {
      await create({ idleStopMs: MINUTE });
      await pass(MINUTE);
      expect(await pass(HOUR, MINUTE / 12)).to.deep.equal(['stop']);
      await vms.start('dev', never);
      expect(await pass(MINUTE - 5_000)).to.deep.equal(['stop', 'start']);
    });

    it('is given up when something begins before its turn has come', async () => {
      await create({ idleStopMs: MINUTE });
      const [asked, told, taken] = [deferred(), deferred(), deferred()];
      telling = () => {
        asked.resolve();
        return told.promise;
      };
      provider.hook = () => taken.promise;
      await pass(MINUTE - 5_000);
      clock.pass(5_000);
      await expiry.sweep();
      await asked.promise;
      const snapshot = vms.snapshot('dev', 'clean', '', never);
      told.resolve();
      busy.add('dev');
      taken.resolve();
      await snapshot;
      await expiry.settled();
      expect(provider.calls).to.deep.equal(['snapshot']);
      expect(state()).to.equal('RUNNING');
    });
  });

  describe('time that the hub did not see', () => {
    it('does not count: an hour of downtime ends nothing', async () => {
      await create({ ttlMs: 30 * MINUTE, idleStopMs: 20 * MINUTE });
      await pass(10 * MINUTE);
      await restartAfter(HOUR);
      expect(await pass(9 * MINUTE)).to.deep.equal([]);
      expect(await pass(2 * MINUTE)).to.deep.equal(['stop']);
    });

    it('counts what was before a restart', async () => {
      await create({ ttlMs: 30 * MINUTE });
      await pass(25 * MINUTE);
      await restartAfter(5_000);
      expect(await pass(4 * MINUTE)).to.deep.equal([]);
      expect(await pass(MINUTE + 15_000)).to.deep.equal(['stop']);
    });

    it('does not count when the process stood still', async () => {
      await create({ ttlMs: 30 * MINUTE });
      await pass(10 * MINUTE);
      clock.pass(6 * HOUR);
      expect(await pass(19 * MINUTE)).to.deep.equal([]);
      expect(await pass(2 * MINUTE)).to.deep.equal(['stop']);
    });

    for (const [name, byMs] of [
      ['forwards', 24 * HOUR],
      ['back', -24 * HOUR],
    ] as const) {
      it(`does not count when the wall clock jumps ${name}`, async () => {
        await create({ ttlMs: 30 * MINUTE });
        await pass(10 * MINUTE);
        clock.setWall(byMs);
        expect(await pass(19 * MINUTE)).to.deep.equal([]);
        expect(await pass(2 * MINUTE)).to.deep.equal(['stop']);
      });
    }

    it('moves the time of the end that is shown', async () => {
      const vm = await create({ ttlMs: HOUR });
      const before = vm.life && expireMs(vm.life);
      await pass(MINUTE);
      await restartAfter(2 * HOUR);
      await pass(5_000);
      const { life } = vms.get('dev');
      expect(life && expireMs(life)).to.be.within(
        Number(before) + 2 * HOUR,
        Number(before) + 2 * HOUR + MINUTE,
      );
    });
  });

  describe('a machine that cannot be ended', () => {
    it('says why, is tried again with longer and longer waits, and is ended in the end', async () => {
      await create({ ttlMs: MINUTE });
      provider.hook = async (call) => {
        if (call === 'stop') throw new Error('qemu does not answer');
      };
      await pass(MINUTE);
      expect(vms.get('dev').life?.problem).to.match(/its ttl is over.*qemu does not answer; next try at 20/);
      expect(told.at(-1)).to.contain('qemu does not answer');
      await pass(10 * MINUTE);
      // Tries at 0 s, 30 s, 90 s, 210 s and 450 s.
      expect(provider.calls).to.have.length(5);
      provider.hook = async () => {};
      await pass(8 * MINUTE);
      expect(state()).to.equal('STOPPED');
      expect(vms.get('dev').life?.problem).to.equal('');
    });

    it('goes on after a restart of the hub', async () => {
      await create({ ttlMs: MINUTE });
      provider.hook = async (call) => {
        if (call === 'stop') throw new Error('no');
      };
      await pass(MINUTE);
      expect(state()).to.equal('FAILED');
      provider.hook = async () => {};
      await restartAfter(MINUTE);
      await pass(MINUTE);
      expect(state()).to.equal('STOPPED');
    });

    it('takes one snapshot only, however often the stop fails', async () => {
      await create({ ttlMs: MINUTE, onExpire: 'snapshot' });
      provider.hook = async (call) => {
        if (call === 'stop') throw new Error('no');
      };
      await pass(5 * MINUTE);
      expect(provider.calls.filter((call) => call === 'snapshot')).to.have.length(1);
      expect(provider.calls.filter((call) => call === 'stop').length).to.be.greaterThan(1);
    });

    it('does not keep the others waiting', async () => {
      await create({ ttlMs: MINUTE, onExpire: 'destroy' }, 'stuck');
      await create({ ttlMs: MINUTE }, 'dev');
      remove = () => Promise.reject(new HubError('VM_FAILED', 'the disk is locked'));
      await pass(MINUTE);
      expect(state('dev')).to.equal('STOPPED');
      expect(vms.get('stuck').life?.problem).to.contain('the disk is locked');
    });
  });

  it('ends at most eight at the same time', async () => {
    for (let i = 0; i < 12; i++) await create({ ttlMs: MINUTE }, `dev-${i}`);
    const { promise, resolve } = deferred();
    provider.hook = () => promise;
    await pass(MINUTE - 5_000);
    clock.pass(5_000);
    await expiry.sweep();
    for (let i = 0; i < 20; i++) await new Promise((done) => setImmediate(done));
    expect(provider.calls).to.have.length(8);
    resolve();
    await pass(10_000);
    expect(vms.list().every((vm) => vm.state === 'STOPPED')).to.equal(true);
  });

  it('waits at its close for what it ends', async () => {
    await create({ ttlMs: MINUTE });
    provider.hook = (_call, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    await pass(MINUTE - 5_000);
    clock.pass(5_000);
    await expiry.sweep();
    expiry.start();
    await expiry.close();
    expect(told).to.deep.equal(['dev TTL its ttl is over: it is stopped']);
    expect(vms.get('dev').life?.problem).to.equal('');
  });
});
