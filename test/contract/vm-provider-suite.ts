import { expect } from 'chai';
import { HubError } from '../../src/model/hub-error.js';
import type { BootInfo, MachineSpec, StageReport, VmProvider } from '../../src/vm/provider.js';
import type { Ran } from '../support/stand-in-agent.js';

/** What a provider needs to be put through the suite. */
export interface ProviderHarness {
  readonly provider: VmProvider;
  /** Another provider object on the same machines, as after a restart of the hub. */
  again(): VmProvider;
  /** Boot information of a machine; the secret only at its first start. */
  boot(name: string, vmGeneration: number, first: boolean): BootInfo;
  /** Runs a command line inside a running machine. */
  exec(name: string, command: string): Promise<Ran>;
  /** Processes, mounts and files that a machine of this name still has on the host. */
  leftovers(name: string): Promise<readonly string[]>;
  /** A directory that the provider keeps machines in, with something in it that is not its own. */
  addForeign(name: string): Promise<void>;
  close(): Promise<void>;
}

/** Options of {@link vmProviderSuite}. */
export interface SuiteOptions {
  /** Time limit of one case in milliseconds. Default 30000. */
  readonly timeoutMs?: number;
  /** Whether this host can run it at all; it says itself why not. Default yes. May take minutes. */
  readonly possible?: () => Promise<boolean>;
}

/** Most time for preparing the host, such as building an image. */
const PREPARE_MS = 15 * 60_000;

const GIB = 1024 ** 3;

/** Runs the same cases against every provider; cases are left out only by declared capability. */
export function vmProviderSuite(
  name: string,
  factory: () => Promise<ProviderHarness>,
  options: SuiteOptions = {},
): void {
  describe(`VM provider ${name}`, function () {
    this.timeout(options.timeoutMs ?? 30_000);
    let harness: ProviderHarness;
    let provider: VmProvider;

    before(async function () {
      this.timeout(PREPARE_MS);
      if ((await options.possible?.()) === false) this.skip();
    });

    beforeEach(async () => {
      harness = await factory();
      provider = harness.provider;
    });

    afterEach(async () => {
      for (const machine of await provider.list(soon())) await provider.destroy(machine, soon());
      await harness.close();
    });

    const spec = (machine: string): MachineSpec => ({
      name: machine,
      resources: { cpu: 1, memoryBytes: GIB, diskBytes: 4 * GIB },
      network: provider.capabilities.networks[0] ?? 'host',
      allowHostSudo: false,
    });
    const create = (machine: string) => provider.create(spec(machine), noReport, soon());
    const start = (machine: string, first = false, generation = 1) =>
      provider.start(machine, harness.boot(machine, generation, first), noReport, soon());
    const stop = (machine: string, force = false) => provider.stop(machine, { force }, soon());
    const state = (machine: string) => provider.inspect(machine, soon());
    const sh = async (machine: string, command: string) => {
      const ran = await harness.exec(machine, command);
      expect(ran.code, `${command}: ${ran.output}`).to.equal(0);
      return ran.output.trim();
    };
    const up = async (machine: string) => {
      await create(machine);
      await start(machine, true);
    };

    it('passes its self-test and says how it isolates', async () => {
      expect(await provider.selfTest(soon())).to.deep.equal({ works: true });
      const isolation = await provider.isolation();
      const { enforces } = provider.capabilities;
      expect(isolation.notEnforced.filter((limit) => enforces.includes(limit))).to.deep.equal([]);
      const limits = await provider.limits();
      expect(limits.cpu).to.be.greaterThan(0);
      expect(limits.memoryBytes).to.be.greaterThan(0);
      expect(limits.diskBytes).to.be.greaterThan(0);
    });

    it('leads a machine through its life', async () => {
      expect(await state('alpha')).to.equal('absent');
      await create('alpha');
      expect(await state('alpha')).to.equal('stopped');
      await start('alpha', true);
      expect(await state('alpha')).to.equal('running');
      expect(await sh('alpha', 'echo $((6 * 7))')).to.equal('42');
      await sh('alpha', 'echo kept > ~/note');
      await stop('alpha');
      expect(await state('alpha')).to.equal('stopped');
      await start('alpha');
      expect(await sh('alpha', 'cat ~/note')).to.equal('kept');
      await provider.destroy('alpha', soon());
      expect(await state('alpha')).to.equal('absent');
      expect(await harness.leftovers('alpha')).to.deep.equal([]);
    });

    it('reports disk and boot stages, each with its end', async () => {
      const seen: string[] = [];
      const report: StageReport = (stage) => {
        seen.push(`${stage} begins`);
        return (error) => void seen.push(`${stage} ${error ?? 'ends'}`);
      };
      await provider.create(spec('alpha'), report, soon());
      await provider.start('alpha', harness.boot('alpha', 1, true), report, soon());
      expect(seen).to.include.members(['disk begins', 'disk ends', 'boot begins', 'boot ends']);
    });

    it('does every operation once when asked twice at the same time', async () => {
      await Promise.all([create('alpha'), create('alpha')]);
      await Promise.all([start('alpha', true), start('alpha', true)]);
      await sh('alpha', 'echo one >> ~/boots');
      await start('alpha');
      expect(await sh('alpha', 'cat ~/boots')).to.equal('one');
      await Promise.all([stop('alpha'), stop('alpha')]);
      await stop('alpha');
      await Promise.all([provider.destroy('alpha', soon()), provider.destroy('alpha', soon())]);
      await provider.destroy('alpha', soon());
      expect(await harness.leftovers('alpha')).to.deep.equal([]);
    });

    it('keeps private paths apart', async () => {
      const { privatePaths } = await provider.isolation();
      await Promise.all([up('alpha'), up('beta')]);
      for (const path of privatePaths) {
        const file = `${path}/only-in-alpha`;
        await sh('alpha', `echo secret > ${file}`);
        expect(await sh('alpha', `cat ${file}`)).to.equal('secret');
        expect((await harness.exec('beta', `cat ${file}`)).code, `${file} in beta`).to.not.equal(0);
      }
    });

    it('ends a machine that ignores SIGTERM when forced', async () => {
      await up('alpha');
      await sh('alpha', 'trap "" TERM; (sleep 1000 > /dev/null 2>&1 &) ; echo started');
      await stop('alpha', true);
      expect(await state('alpha')).to.equal('stopped');
    });

    it('is adopted by another provider object', async () => {
      await up('alpha');
      await sh('alpha', 'echo same > /tmp/first-life; echo here > ~/mark');
      const other = harness.again();
      expect(await other.list(soon())).to.deep.equal(['alpha']);
      expect(await other.inspect('alpha', soon())).to.equal('running');
      const pid = await sh('alpha', 'echo $PPID');
      await other.start('alpha', harness.boot('alpha', 1, false), noReport, soon());
      expect(await sh('alpha', 'echo $PPID')).to.equal(pid);
      await other.stop('alpha', { force: false }, soon());
      expect(await state('alpha')).to.equal('stopped');
    });

    it('lists its own machines and no others', async () => {
      await harness.addForeign('foreign');
      await Promise.all([create('beta'), create('alpha')]);
      expect(await provider.list(soon())).to.deep.equal(['alpha', 'beta']);
      expect(await state('foreign')).to.equal('absent');
    });

    it('destroys a machine that is being made', async () => {
      const making = create('alpha').catch((err: unknown) => err);
      await provider.destroy('alpha', soon());
      await making;
      await provider.destroy('alpha', soon());
      expect(await harness.leftovers('alpha')).to.deep.equal([]);
      expect(await provider.list(soon())).to.deep.equal([]);
    });

    it('ends when its signal aborts and leaves a machine that can be destroyed', async () => {
      const reason = new HubError('CANCELLED', 'the caller went away');
      await create('alpha');
      const abort = new AbortController();
      const starting = provider.start('alpha', harness.boot('alpha', 1, true), noReport, abort.signal);
      abort.abort(reason);
      expect(await starting.catch((err: unknown) => err)).to.equal(reason);
      await start('alpha', true);
      expect(await sh('alpha', 'echo ok')).to.equal('ok');
    });

    it('refuses to start what is not there', async () => {
      expect(await reasonOf(start('nobody', true))).to.equal('VM_NOT_FOUND');
    });

    it('keeps the console', async function () {
      if (!provider.capabilities.console) this.skip();
      await up('alpha');
      await sh('alpha', 'true');
      expect(await provider.consoleTail('alpha')).to.not.equal('');
      expect(await provider.consoleTail('nobody')).to.equal('');
    });

    describe('snapshots', () => {
      beforeEach(function () {
        if (!provider.capabilities.snapshot) this.skip();
      });
      const take = (machine: string, snapshot: string) =>
        provider.snapshot(machine, snapshot, 'before a change', soon());
      const goBack = async (machine: string, snapshot: string, generation: number) => {
        await stop(machine);
        await provider.restore(machine, snapshot, soon());
        await start(machine, false, generation);
      };

      it('bring a deleted file back, three times', async () => {
        await up('alpha');
        await sh('alpha', 'echo precious > ~/file; mkdir -p /opt/repo ~/deep/er; ln -s ../file ~/deep/link');
        const snapshot = await take('alpha', 'clean');
        expect(snapshot).to.include({ name: 'clean', agent: 'alpha', description: 'before a change' });
        expect(snapshot.sizeBytes).to.be.greaterThan(0);
        for (const generation of [2, 3, 4]) {
          await sh('alpha', 'rm -r ~/file ~/deep; echo new > ~/later');
          await goBack('alpha', 'clean', generation);
          expect(await sh('alpha', 'cat ~/file ~/deep/link')).to.equal('precious\nprecious');
          expect((await harness.exec('alpha', 'cat ~/later')).code).to.not.equal(0);
        }
      });

      it('hold all private paths', async () => {
        const { privatePaths } = await provider.isolation();
        await up('alpha');
        for (const path of privatePaths) await sh('alpha', `echo was > ${path}/part`);
        await take('alpha', 'clean');
        for (const path of privatePaths) await sh('alpha', `rm ${path}/part`);
        await goBack('alpha', 'clean', 2);
        for (const path of privatePaths) expect(await sh('alpha', `cat ${path}/part`), path).to.equal('was');
      });

      it('of a running machine are whole, and it goes on', async () => {
        await up('alpha');
        await sh('alpha', 'mkdir ~/bulk; for i in 1 2 3 4; do head -c 16M /dev/zero > ~/bulk/$i; done');
        const step = (file: string) => `echo $i > ~/t && mv ~/t ~/${file}`;
        const loop = `i=0; while :; do i=$((i+1)); ${step('1')}; ${step('2')}; ${step('3')}; done`;
        await sh('alpha', `(${loop}) > /dev/null 2>&1 & until [ -s ~/3 ]; do sleep 0.01; done`);
        await take('alpha', 'running');
        const count = await sh('alpha', 'cat ~/1');
        await sh('alpha', `until [ "$(cat ~/1)" -gt ${count} ]; do sleep 0.01; done`);
        await goBack('alpha', 'running', 2);
        const [one = 0, two = 0, three = 0] = (await sh('alpha', 'cat ~/1 ~/2 ~/3')).split('\n').map(Number);
        expect(one >= two && two >= three && three >= one - 1, `${one} ${two} ${three}`).to.equal(true);
      });

      it('are listed oldest first and deleted', async () => {
        await create('alpha');
        await take('alpha', 'one');
        await take('alpha', 'two');
        const names = async () => (await provider.listSnapshots('alpha')).map((item) => item.name);
        expect(await names()).to.deep.equal(['one', 'two']);
        expect(await reasonOf(take('alpha', 'one'))).to.equal('SNAPSHOT_EXISTS');
        await provider.deleteSnapshot('alpha', 'one', soon());
        expect(await names()).to.deep.equal(['two']);
        expect(await reasonOf(provider.deleteSnapshot('alpha', 'one', soon()))).to.equal(
          'SNAPSHOT_NOT_FOUND',
        );
      });

      it('that are unknown are refused with the names of those that are there', async () => {
        await create('alpha');
        await take('alpha', 'clean');
        const err = await provider.restore('alpha', 'other', soon()).catch((thrown: unknown) => thrown);
        expect(HubError.from(err).reason).to.equal('SNAPSHOT_NOT_FOUND');
        expect(HubError.from(err).message).to.contain('clean');
      });

      it('leave nothing when aborted', async () => {
        await up('alpha');
        const abort = new AbortController();
        const taking = provider.snapshot('alpha', 'clean', '', abort.signal);
        abort.abort(new HubError('CANCELLED', 'enough'));
        expect(await reasonOf(taking)).to.equal('CANCELLED');
        expect(await sh('alpha', 'echo goes on')).to.equal('goes on');
        await take('alpha', 'clean');
      });
    });
  });
}

const noReport: StageReport = () => () => {};

/** Every call of the suite has a deadline. */
function soon(): AbortSignal {
  return AbortSignal.timeout(120_000);
}

/** The reason that a promise is refused with. */
async function reasonOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'it was not refused',
    (err: unknown) => HubError.from(err).reason,
  );
}
