import { expect } from 'chai';
import type { HubProcess } from '../support/e2e/hub-process.js';
import { at, list } from '../support/e2e/json-path.js';
import {
  BEFORE_MS,
  BOOT_MS,
  hostMachine,
  leftOf,
  post,
  SMALL,
  startMachineHub,
  until,
  written,
} from '../support/e2e/machine-hub.js';

const SLOW = { timeoutMs: BOOT_MS };
/** Within this time a guest switches itself off; later it would be cut off. */
const STOP_MS = 40_000;
/** How far the clock of a guest may be off, besides the time that a command takes. */
const CLOCK_MS = 2_000;

describe('snapshots of a virtual machine', function () {
  this.timeout(BOOT_MS);
  let hub: HubProcess;
  /** Random words of all lives. */
  const random = new Set<string>();
  let lives = 0;

  before(async function () {
    this.timeout(BEFORE_MS);
    const started = await startMachineHub();
    if (started === undefined) this.skip();
    hub = started;
    await hub.ok(['create', 'dev', ...SMALL], SLOW);
  });
  after(() => hub?.close());

  const exec = async (command: string) => (await hub.ok(['exec', 'dev', command], SLOW)).stdout;
  const generation = async () => Number((await hub.rest('GET', '/agents/dev/vm')).at('vm.generation'));
  const speaks = (id: string, text: string) =>
    until(`the task writes ${text}`, async () => (await written(hub, id)).includes(text), BOOT_MS);
  const rows = async () =>
    list({ rows: JSON.parse((await hub.ok(['snapshots', 'dev', '--json'])).stdout) }, 'rows');

  /** Goes back and looks at what the machine is now: its file, its clock, its randomness, its generation. */
  async function restore(snapshot: string, file: string): Promise<void> {
    const before = await generation();
    await hub.ok(['restore', 'dev', snapshot], SLOW);
    const asked = Date.now();
    const line =
      'date +%s%3N; cat /proc/sys/kernel/random/uuid; node -p "crypto.randomUUID()"; cat /opt/state';
    const [time, uuid = '', other = '', ...rest] = (await exec(line)).split('\n');
    expect(Number(time)).to.be.within(asked - CLOCK_MS, Date.now() + CLOCK_MS);
    expect(rest.join('\n').trim()).to.equal(file);
    expect(await generation()).to.equal(before + 1);
    for (const word of [uuid, other]) random.add(word);
    lives += 1;
    expect(random.size, 'nothing is drawn twice').to.equal(lives * 2);
  }

  it('live: tasks go on behind it; restored, what ran is LOST, and the agent is back', async () => {
    const first = await post(hub, 'dev', {
      type: 'exec',
      command: 'echo up; until [ -e /opt/go ]; do sleep 0.2; done; echo end',
    });
    await speaks(first, 'up');
    await exec('echo one > /opt/state');
    await hub.ok(['snapshot', 'dev', 'first'], SLOW);
    await exec('touch /opt/go');
    const ended = await hub.ended(first);
    expect(at(ended, 'state')).to.equal('SUCCEEDED');
    await exec('echo two > /opt/state');
    const second = await post(hub, 'dev', { type: 'exec', command: 'echo up; exec sleep 600' });
    await speaks(second, 'up');
    await restore('first', 'one');
    const lost = await hub.ended(second);
    expect([at(lost, 'state'), at(lost, 'outcome.reason')]).to.deep.equal(['LOST', 'RESTORED']);
    expect(at((await hub.rest('GET', `/tasks/${first}`)).json, 'task.state')).to.equal('SUCCEEDED');
    expect(await written(hub, first)).to.equal('up\nend\n');
    const left =
      "ls /opt/go 2>/dev/null; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c '[o]pt/go ]; do' || true";
    expect(await exec(left), 'neither the file nor the task of the snapshot').to.equal('0\n');
  });

  it('three of them are restored in turn, and an older one again', async () => {
    for (const name of ['second', 'third']) {
      await exec(`echo ${name} > /opt/state; sync`);
      await hub.ok(['snapshot', 'dev', name], SLOW);
    }
    await exec('echo lost > /opt/state');
    await restore('third', 'third');
    await restore('second', 'second');
    await restore('first', 'one');
    await restore('second', 'second');
    expect((await rows()).map((row) => [at(row, 'name'), at(row, 'kind')])).to.deep.equal([
      ['first', 'live'],
      ['second', 'live'],
      ['third', 'live'],
    ]);
    for (const row of await rows()) expect(Number(at(row, 'sizeBytes'))).to.be.above(10 * 1024 ** 2);
  });

  it('of a stopped machine it holds the disk; restored, the machine boots', async () => {
    await hub.ok(['stop', 'dev'], { timeoutMs: STOP_MS });
    await hub.ok(['snapshot', 'dev', 'cold'], SLOW);
    const cold = (await rows()).find((row) => at(row, 'name') === 'cold');
    expect([at(cold, 'kind'), at(cold, 'live')]).to.deep.equal(['disk', false]);
    await restore('first', 'one');
    await exec('echo warm > /opt/state');
    await restore('cold', 'second');
  });

  it('are deleted while it runs, and then are not there', async () => {
    await hub.ok(['snapshot', 'delete', 'dev', 'second'], SLOW);
    const gone = await hub.cli(['restore', 'dev', 'second'], SLOW);
    expect(gone.exitCode).to.equal(3);
    expect(gone.stderr).to.match(/dev has no snapshot second; it has: first, third, cold/);
    expect(await exec('cat /opt/state')).to.equal('second\n');
    await restore('third', 'third');
  });

  it('go with their machine', async () => {
    const machine = await hostMachine(hub, 'dev');
    await hub.ok(['destroy', 'dev', '--force'], SLOW);
    expect(await leftOf(hub, [machine])).to.deep.equal([]);
  });
});
