import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../../../../src/base/clock.js';
import { JsonSocket } from '../../../../../src/base/json-socket.js';
import { HubError } from '../../../../../src/model/hub-error.js';
import { connectQmp, QmpRefusal } from '../../../../../src/vm/providers/qemu/qmp-client.js';
import { runJob } from '../../../../../src/vm/providers/qemu/qmp-job.js';

interface Command {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly id: number;
}

/** A monitor as QEMU has it: it greets, negotiates, and serves one client at a time. */
class FakeQemu {
  readonly dir = mkdtempSync(join(tmpdir(), 'qmp-'));
  readonly path = join(this.dir, 'qmp');
  readonly commands: string[] = [];
  /** Answers a command; undefined for no answer at all. */
  answer: (command: Command, peer: JsonSocket) => object | undefined = () => ({ return: {} });
  private readonly server: Server;
  private readonly waiting: Socket[] = [];
  private busy = false;

  constructor() {
    this.server = createServer((socket) => {
      this.waiting.push(socket);
      this.serveNext();
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.server.listen(this.path, resolve));
  }

  close(): void {
    for (const socket of this.waiting) socket.destroy();
    this.server.close();
    rmSync(this.dir, { recursive: true });
  }

  private serveNext(): void {
    const socket = this.busy ? undefined : this.waiting.shift();
    if (socket === undefined) return;
    this.busy = true;
    const peer: JsonSocket = new JsonSocket(socket, (message) => {
      const command = message as Command;
      this.commands.push(command.execute);
      const negotiates = command.execute === 'qmp_capabilities';
      const answer = negotiates ? { return: {} } : this.answer(command, peer);
      if (answer !== undefined) peer.send({ ...answer, id: command.id });
    });
    void peer.closed.then(() => {
      this.busy = false;
      this.serveNext();
    });
    peer.send({ QMP: { version: {}, capabilities: [] } });
  }
}

const soon = () => AbortSignal.timeout(10_000);
const thrownBy = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (err: unknown) => err,
  );

describe('the client of the monitor', () => {
  let qemu: FakeQemu;

  beforeEach(async () => {
    qemu = new FakeQemu();
    await qemu.listen();
  });

  afterEach(() => qemu.close());

  it('negotiates, and answers what a command returns', async () => {
    qemu.answer = ({ arguments: args }) => ({ return: { status: 'running', args } });
    using client = await connectQmp(qemu.path, soon());
    const answer = await client.execute('query-status', { a: 1 }, soon());
    expect(answer).to.deep.equal({ status: 'running', args: { a: 1 } });
    expect(qemu.commands).to.deep.equal(['qmp_capabilities', 'query-status']);
  });

  it('says what QEMU refused', async () => {
    qemu.answer = () => ({ error: { class: 'GenericError', desc: 'no such device' } });
    using client = await connectQmp(qemu.path, soon());
    const err = await thrownBy(client.execute('device_del', {}, soon()));
    expect(err).to.be.instanceOf(QmpRefusal);
    expect(String(err)).to.contain('device_del').and.to.contain('no such device');
  });

  it('gives a second client up that is not greeted, and says what to do', async () => {
    using _first = await connectQmp(qemu.path, soon());
    const err = HubError.from(await thrownBy(connectQmp(qemu.path, soon(), { greetingMs: 50 })));
    expect(err.reason).to.equal('VM_FAILED');
    expect(err.message).to.contain('does not greet').and.to.contain('stop --force');
  });

  it('gives a command up that is not answered', async () => {
    qemu.answer = () => undefined;
    using client = await connectQmp(qemu.path, soon(), { commandMs: 50 });
    const err = HubError.from(await thrownBy(client.execute('query-status', {}, soon())));
    expect(err.reason).to.equal('VM_FAILED');
    expect(err.message).to.contain('query-status');
  });

  it('ends with the reason of its signal', async () => {
    qemu.answer = () => undefined;
    using client = await connectQmp(qemu.path, soon());
    const abort = new AbortController();
    const running = thrownBy(client.execute('query-status', {}, abort.signal));
    const reason = new HubError('CANCELLED', 'enough');
    abort.abort(reason);
    expect(await running).to.equal(reason);
  });

  it('notices that QEMU is gone', async () => {
    qemu.answer = (_, peer) => {
      peer.close();
      return undefined;
    };
    using client = await connectQmp(qemu.path, soon());
    expect(String(await thrownBy(client.execute('quit', {}, soon())))).to.contain('closed its monitor');
    expect(HubError.from(await thrownBy(connectQmp(join(qemu.dir, 'none'), soon()))).reason).to.equal(
      'VM_FAILED',
    );
  });

  it('hands events on until it is told not to', async () => {
    qemu.answer = (_, peer) => {
      peer.send({ event: 'STOP', data: { why: 1 } });
      return { return: {} };
    };
    using client = await connectQmp(qemu.path, soon());
    const seen: unknown[] = [];
    const listener = client.onEvent((event) => seen.push(event));
    await client.execute('stop', {}, soon());
    listener[Symbol.dispose]();
    await client.execute('stop', {}, soon());
    expect(seen).to.deep.equal([{ event: 'STOP', data: { why: 1 } }]);
  });

  describe('runs a job', () => {
    let jobs: { id: string; status: string; error?: string }[];
    const save = { command: 'snapshot-save', args: { tag: 's-a' } };

    const serve = (end: (peer: JsonSocket) => void) => {
      jobs = [];
      qemu.answer = ({ execute, arguments: args }, peer) => {
        if (execute === 'query-jobs') return { return: jobs.map((job) => ({ ...job })) };
        if (execute === 'job-dismiss') jobs = jobs.filter((job) => job.id !== args.id);
        if (execute === 'snapshot-save') {
          jobs.push({ id: String(args['job-id']), status: 'running' });
          end(peer);
        }
        return { return: {} };
      };
    };
    const conclude = (error?: string) => (peer: JsonSocket) => {
      const [job] = jobs;
      if (job) Object.assign(job, { status: 'concluded' }, error === undefined ? {} : { error });
      peer.send({ event: 'JOB_STATUS_CHANGE', data: {} });
    };

    it('to its end, and takes it off the list', async () => {
      serve(conclude());
      using client = await connectQmp(qemu.path, soon());
      await runJob(client, save, systemClock, soon());
      expect(jobs).to.deep.equal([]);
    });

    it('and says why it failed', async () => {
      serve(conclude('No space left on device'));
      using client = await connectQmp(qemu.path, soon());
      const err = HubError.from(await thrownBy(runJob(client, save, systemClock, soon())));
      expect(err.reason).to.equal('VM_FAILED');
      expect(err.message).to.contain('No space left');
      expect(jobs).to.deep.equal([]);
    });

    it('after taking away what an earlier hub left', async () => {
      serve(conclude());
      jobs.push({ id: 'vm-agent-snapshot-save', status: 'concluded' });
      using client = await connectQmp(qemu.path, soon());
      await runJob(client, save, systemClock, soon());
      expect(qemu.commands.filter((command) => command === 'job-dismiss')).to.have.length(2);
    });

    it('to its end even when nobody wants it any more', async () => {
      const abort = new AbortController();
      const reason = new HubError('CANCELLED', 'enough');
      serve((peer) => {
        abort.abort(reason);
        conclude()(peer);
      });
      using client = await connectQmp(qemu.path, soon());
      expect(await thrownBy(runJob(client, save, systemClock, abort.signal))).to.equal(reason);
      expect(jobs).to.deep.equal([]);
    });
  });
});
