import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { BootSource } from '../../../src/agent/guest/boot-source.js';
import { bootDiskOf, type GuestBoot } from '../../../src/model/guest-boot.js';
import { FakeAgentDoor } from '../../support/fake-agent-door.js';

const missing = missingTool();
if (missing !== undefined)
  console.log(`SKIPPED: agents that are woken by a control port (${missing} is missing)`);

/** Takes from root what would change this host: its clock and its random numbers. */
const HARMLESS = ['setpriv', '--bounding-set=-sys_time,-sys_admin', '--'];

function missingTool(): string | undefined {
  return ['socat', 'perl', 'setpriv'].find((tool) => {
    try {
      execFileSync('sh', ['-c', 'command -v "$1"', 'sh', tool], { stdio: 'pipe' });
      return false;
    } catch {
      return true;
    }
  });
}

/** The host's end of a control port: what QEMU's socket is to the guest's device. */
class HostPort {
  readonly heard: { readonly type: string; readonly of?: string }[] = [];
  private readonly server: Server;
  private relay: ChildProcess | undefined;
  private socket: Socket | undefined;
  private changed = () => {};

  constructor(private readonly dir: string) {
    this.server = createServer((socket) => {
      this.socket = socket;
      let rest = '';
      socket
        .on('error', () => {})
        .on('data', (data: Buffer) => {
          rest += data.toString();
          const lines = rest.split('\n');
          rest = lines.pop() ?? '';
          this.heard.push(...lines.map((line) => JSON.parse(line)));
          this.changed();
        });
    });
  }

  get device(): string {
    return join(this.dir, 'port');
  }

  /** The device is there when it resolves. */
  async start(): Promise<void> {
    const socket = join(this.dir, 'host.sock');
    this.server.listen(socket);
    await once(this.server, 'listening');
    const connected = once(this.server, 'connection');
    const args = [`PTY,raw,echo=0,mode=666,link=${this.device}`, `UNIX-CONNECT:${socket}`];
    this.relay = spawn('socat', args, { stdio: 'ignore' });
    await connected;
    while (!existsSync(this.device)) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  say(message: object | string): void {
    this.socket?.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`);
  }

  async hears(type: string, of?: string): Promise<void> {
    const known = () => this.heard.some((message) => message.type === type && message.of === of);
    await this.until(known);
  }

  /** How often the guest said that it listens. */
  get readies(): number {
    return this.heard.filter(({ type }) => type === 'ready').length;
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo())
      await new Promise<void>((resolve) => {
        this.changed = resolve;
      });
  }

  async close(): Promise<void> {
    this.socket?.destroy();
    this.server.close();
    if (this.relay === undefined || this.relay.exitCode !== null) return;
    this.relay.kill('SIGKILL');
    await once(this.relay, 'exit');
  }
}

describe('agent: the memory of its machine is restored', () => {
  let dir: string;
  let hub: FakeAgentDoor;
  let port: HostPort;
  let agent: ChildProcess | undefined;
  let boot: GuestBoot;

  beforeEach(async function () {
    if (missing !== undefined) return this.skip();
    dir = mkdtempSync(join(tmpdir(), 'woken-'));
    mkdirSync(join(dir, 'home'));
    hub = new FakeAgentDoor();
    await hub.listen();
    port = new HostPort(dir);
    await port.start();
    boot = {
      schema: 1,
      agentId: 'dev',
      joinSecret: 'first-secret',
      door: hub.door,
      vmGeneration: 3,
      network: 'internet',
      hostname: 'dev',
      diskBytes: 1,
      timeMs: 1,
    };
    writeFileSync(join(dir, 'boot'), bootDiskOf(boot));
    // It was told in this boot before: the host of this test keeps its name.
    new BootSource({ disk: join(dir, 'boot'), runDir: join(dir, 'run') }).keep({ ...boot, vmGeneration: 1 });
    start();
    await hub.sessions(1);
    await port.hears('ready');
  });

  afterEach(async () => {
    if (agent !== undefined && agent.exitCode === null) {
      agent.kill('SIGTERM');
      await once(agent, 'exit');
    }
    agent = undefined;
    await port?.close();
    hub?.close();
    if (dir !== undefined) rmSync(dir, { recursive: true, force: true });
  });

  function start(): void {
    const config = join(dir, 'config.json');
    const settings = { bootDisk: join(dir, 'boot'), runDir: join(dir, 'run'), controlPort: port.device };
    writeFileSync(config, JSON.stringify({ ...settings, stateDir: 'state', home: 'home' }));
    const line = [process.execPath, '--import', 'tsx', 'src/app/agent-main.ts', '--config', config];
    const [file = '', ...args] = process.getuid?.() === 0 ? [...HARMLESS, ...line] : line;
    agent = spawn(file, args, { stdio: 'ignore' });
  }

  function wake(more: Partial<GuestBoot> = {}): void {
    port.say({ type: 'woken', boot: { ...boot, vmGeneration: 4, ...more }, seed: 'c2VlZA==' });
  }

  it('is a new agent with what its host says, and nothing of before runs on, not even for a moment', async () => {
    const marker = join(dir, 'home', 'marker');
    const command = 'trap "" TERM; while :; do echo x >> marker; sleep 0.01; done';
    hub.assign('old', { type: 'exec', run: { command } } as never);
    while (!existsSync(marker)) await new Promise((resolve) => setTimeout(resolve, 5));
    hub.send({ type: 'prepare', barrier: 'b' });
    await hub.until(() => hub.frames.some(({ type }) => type === 'prepared'));
    const before = readFileSync(marker, 'latin1').length;
    wake({ joinSecret: 'second-secret' });
    await port.hears('done', 'woken');
    await hub.sessions(2);
    const [first, second] = hub.hellos;
    expect(second).to.deep.include({ vmGeneration: 4, agentId: 'dev', attempts: [] });
    expect(second?.incarnation).to.not.equal(first?.incarnation);
    expect(second?.journalId).to.not.equal(first?.journalId);
    expect(hub.metadata.at(-1)?.get('authorization')).to.deep.equal(['Bearer second-secret']);
    const { outcome } = await hub.exec('new', 'sleep 0.2; wc -c < marker');
    expect(Number(outcome?.stdoutTail)).to.equal(before);
    expect(hub.reportsOf('old').some(({ outcome: end }) => end !== undefined)).to.equal(false);
    expect(agent?.exitCode, 'it is the same process').to.equal(null);
  });

  it('wakes several times, also while it wakes', async () => {
    for (const vmGeneration of [4, 5, 6]) wake({ vmGeneration });
    await hub.until(() => hub.hellos.at(-1)?.vmGeneration === 6);
    expect((await hub.exec('t', 'echo on')).outcome?.stdoutTail).to.equal('on\n');
    wake({ vmGeneration: 7 });
    await hub.until(() => hub.hellos.at(-1)?.vmGeneration === 7);
  });

  it('does not believe the old disk when it is started again', async () => {
    wake();
    await hub.until(() => hub.hellos.at(-1)?.vmGeneration === 4);
    const ended = once(agent as ChildProcess, 'exit');
    agent?.kill('SIGHUP');
    expect((await ended)[0]).to.equal(75);
    const { length } = hub.hellos;
    start();
    await hub.until(() => hub.hellos.length > length);
    expect(hub.hellos.at(-1)?.vmGeneration).to.equal(4);
  });

  it('goes on when a snapshot was only taken, and when its host says nonsense', async () => {
    for (const bad of [
      'no json {',
      '{"type":"x"}',
      '[]',
      '7',
      '{"type":"woken","boot":{"schema":9}}',
      'y'.repeat(300_000),
    ])
      port.say(bad);
    hub.assign('long', {
      type: 'exec',
      run: { command: 'echo up; while [ ! -e go ]; do sleep 0.01; done; echo down' },
    } as never);
    await hub.until(() => hub.size('long') > 0);
    hub.send({ type: 'prepare', barrier: 'b' });
    await hub.until(() => hub.frames.some(({ type }) => type === 'prepared'));
    hub.send({ type: 'resume', barrier: 'b' });
    writeFileSync(join(dir, 'home', 'go'), '');
    expect((await hub.ended('long')).outcome?.stdoutTail).to.equal('up\ndown\n');
    expect(hub.hellos.length).to.equal(1);
    // After nonsense the guest opens its port anew, and what was said meanwhile may be lost.
    const woken = hub.until(() => hub.hellos.at(-1)?.vmGeneration === 4).then(() => true);
    for (let isWoken = false; !isWoken; ) {
      const { readies } = port;
      wake();
      isWoken = await Promise.race([woken, port.until(() => port.readies > readies).then(() => false)]);
    }
  });
});
