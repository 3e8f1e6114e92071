import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootDiskOf, type GuestBoot } from '../../src/model/guest-boot.js';
import { CONTROL_PORT, DISK_SERIALS } from '../../src/vm/guest/disks.js';

/** What a {@link PlainGuest} is made of. */
export interface PlainGuestParts {
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly runtime: string;
  /** Unix socket of the agent door. */
  readonly door: string;
}

/** Lines of JSON over a unix socket. */
class JsonLines {
  private readonly waiting: ((message: Record<string, unknown>) => void)[] = [];
  private readonly ready: Record<string, unknown>[] = [];
  private rest = '';

  private constructor(readonly socket: Socket) {
    socket.on('error', () => {}).on('data', (data: Buffer) => this.take(data.toString()));
  }

  static async open(path: string): Promise<JsonLines> {
    const socket = connect(path);
    await once(socket, 'connect');
    return new JsonLines(socket);
  }

  send(message: object): void {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  next(): Promise<Record<string, unknown>> {
    const first = this.ready.shift();
    return first === undefined
      ? new Promise((resolve) => this.waiting.push(resolve))
      : Promise.resolve(first);
  }

  private take(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines.filter((one) => one.trim() !== '')) {
      const message = JSON.parse(line);
      const next = this.waiting.shift();
      if (next === undefined) this.ready.push(message);
      else next(message);
    }
  }
}

/** One virtual machine by a plain command line of QEMU, without a hub: the floor of what machines cost. */
export class PlainGuest {
  private readonly dir = mkdtempSync(join(tmpdir(), 'guest-'));
  private qemu: ChildProcess | undefined;
  private monitor: JsonLines | undefined;
  private control: JsonLines | undefined;

  constructor(private readonly parts: PlainGuestParts) {}

  /** Starts it with a disk of its own; resolves when QEMU listens. */
  async start(boot: GuestBoot): Promise<void> {
    mkdirSync(this.dir, { recursive: true });
    const disk = this.file('disk.qcow2');
    const size = String(boot.diskBytes);
    const args = ['create', '-q', '-f', 'qcow2', '-b', this.parts.disk, '-F', 'qcow2', disk, size];
    execFileSync('qemu-img', args, { stdio: 'pipe' });
    writeFileSync(this.file('boot'), bootDiskOf(boot));
    this.qemu = spawn('qemu-system-x86_64', this.commandLine(), { stdio: 'ignore' });
    await until(() => this.console !== undefined);
    await until(async () => {
      this.monitor = await JsonLines.open(this.file('qmp')).catch(() => undefined);
      return this.monitor !== undefined;
    });
    await this.monitor?.next();
    await this.command('qmp_capabilities');
  }

  /** What it wrote on its console; undefined before it has one. */
  get console(): string | undefined {
    try {
      return readFileSync(this.file('console'), 'utf8');
    } catch {
      return undefined;
    }
  }

  /** Processor seconds that QEMU used. */
  get cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.qemu?.pid}/stat`, 'utf8').split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
  }

  /** Saves or loads disk and memory; answers how many milliseconds it took. */
  async snapshot(command: 'snapshot-save' | 'snapshot-load', tag: string): Promise<number> {
    const startMs = performance.now();
    const job = `${command}-${startMs}`;
    await this.command(command, { 'job-id': job, tag, vmstate: 'root', devices: ['root'] });
    await until(async () => {
      const jobs = (await this.command('query-jobs')) as { id: string; status: string; error?: string }[];
      const found = jobs.find(({ id }) => id === job);
      if (found?.error !== undefined) throw new Error(found.error);
      return found?.status === 'concluded';
    });
    await this.command('job-dismiss', { id: job });
    return performance.now() - startMs;
  }

  async command(execute: string, args: object = {}): Promise<unknown> {
    this.monitor?.send({ execute, arguments: args });
    for (;;) {
      const answer = (await this.monitor?.next()) ?? {};
      if ('error' in answer) throw new Error(JSON.stringify(answer.error));
      if ('return' in answer) return answer.return;
    }
  }

  /** Says something on the control port. */
  async say(message: object): Promise<void> {
    this.control ??= await JsonLines.open(this.file('control'));
    this.control.send(message);
  }

  /** Waits until the guest says this. */
  async hears(type: string, of?: string): Promise<void> {
    this.control ??= await JsonLines.open(this.file('control'));
    for (;;) {
      const message = await this.control.next();
      if (message.type === type && message.of === of) return;
    }
  }

  async close(): Promise<void> {
    this.monitor?.socket.destroy();
    this.control?.socket.destroy();
    if (this.qemu !== undefined && this.qemu.exitCode === null && this.qemu.signalCode === null) {
      this.qemu.kill('SIGKILL');
      await once(this.qemu, 'exit');
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  private file(name: string): string {
    return join(this.dir, name);
  }

  private commandLine(): readonly string[] {
    const { kernel, initrd, runtime, door } = this.parts;
    const raw = (id: string, file: string) =>
      `driver=raw,node-name=${id},read-only=on,file.driver=file,file.filename=${file}`;
    const disk = (id: 'root' | 'runtime' | 'boot', blockdev: string) => [
      ...['-blockdev', blockdev, '-device', `virtio-blk-pci,drive=${id},serial=${DISK_SERIALS[id]}`],
    ];
    const root = `driver=qcow2,node-name=root,file.driver=file,file.filename=${this.file('disk.qcow2')}`;
    const forward = `guestfwd=tcp:10.0.2.100:9090-cmd:socat - UNIX-CONNECT:${door}`;
    return [
      ...['-machine', 'q35,accel=tcg', '-cpu', 'Nehalem', '-smp', '2', '-m', '1024'],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', `file:${this.file('console')}`],
      ...['-qmp', `unix:${this.file('qmp')},server=on,wait=off`],
      ...disk('root', root),
      ...disk('runtime', raw('runtime', runtime)),
      ...disk('boot', raw('boot', this.file('boot'))),
      ...['-netdev', `user,id=net,restrict=on,${forward}`, '-device', 'virtio-net-pci,netdev=net,romfile='],
      ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
      ...['-chardev', `socket,id=control,path=${this.file('control')},server=on,wait=off`],
      ...['-device', `virtserialport,chardev=control,name=${CONTROL_PORT}`],
      ...[
        '-kernel',
        kernel,
        '-initrd',
        initrd,
        '-append',
        'console=ttyS0 quiet loglevel=3 mitigations=off no_timer_check',
      ],
    ];
  }
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}
