import type { AgentConfig } from '../agent/agent-config.js';
import type { BootSource } from '../agent/guest/boot-source.js';
import { type ControlMessage, controlMessageFrom } from '../agent/guest/control-message.js';
import { ControlPort } from '../agent/guest/control-port.js';
import { growRoot, nameMachine, setClock, switchOff } from '../agent/guest/machine.js';
import { systemClock } from '../base/clock.js';
import { runDetached } from '../base/detached.js';
import { messageOf } from '../base/errno.js';
import type { Logger } from '../base/logger.js';
import type { GuestBoot } from '../model/guest-boot.js';

type Woken = Extract<ControlMessage, { type: 'woken' }>;

/** The host of a virtual machine, as its agent sees it: it says who the machine is, wakes it, and sets its clock. */
export class GuestHost {
  private port: ControlPort | undefined;
  private unanswered = false;

  private constructor(
    private readonly source: BootSource,
    private readonly controlPort: string | undefined,
    private readonly log: Logger,
    private readonly onWoken: () => void,
  ) {}

  /**
   * Prepares the machine as its boot disk says, once a boot, and listens to its host; undefined for an agent that is
   * in no virtual machine of a hub.
   */
  static async open(
    { guest, controlPort }: AgentConfig,
    log: Logger,
    onWoken: () => void,
  ): Promise<GuestHost | undefined> {
    if (guest === undefined) return undefined;
    const { source, boot } = guest;
    if (source.kept() === undefined) await prepare(boot, log);
    source.keep(boot);
    return new GuestHost(source, controlPort, log, onWoken);
  }

  /** An agent has started: nothing of an older life runs any more. From the first one on the host is listened to. */
  started(): void {
    const { controlPort: port, log } = this;
    const onMessage = (message: unknown) => this.receive(message);
    if (port !== undefined) this.port ??= new ControlPort({ port, onMessage, clock: systemClock, log });
    if (this.unanswered) this.port?.send({ type: 'done', of: 'woken' });
    this.unanswered = false;
  }

  close(): void {
    this.port?.close();
  }

  private receive(value: unknown): void {
    try {
      this.obey(controlMessageFrom(value));
    } catch (err) {
      this.log.warn('the host said what is not understood', { cause: messageOf(err) });
    }
  }

  private obey(message: ControlMessage): void {
    const { log } = this;
    switch (message.type) {
      case 'woken':
        this.wake(message);
        break;
      case 'time':
        break;
      case 'grow':
        runDetached(log, 'grow', async () => {
          await growRoot();
          this.port?.send({ type: 'done', of: 'grow' });
        });
        break;
      case 'off':
        runDetached(log, 'off', switchOff);
        break;
    }
  }

  /** What is told is kept first: also an agent that is started anew must not believe the past. */
  private wake({ boot }: Woken): void {
    const { log, source } = this;
    log.info('the memory of this machine was restored', { vmGeneration: boot.vmGeneration });
    const before = source.kept();
    source.keep(boot);
    this.unanswered = true;
    if (before?.hostname !== boot.hostname) runDetached(log, 'name', () => nameMachine(boot));
    this.onWoken();
  }
}

/** A machine whose clock is behind what its host knew before is told; otherwise its clock is the better one. */
async function prepare(boot: GuestBoot, log: Logger): Promise<void> {
  try {
    if (systemClock.now() < boot.timeMs) await setClock(boot.timeMs);
    await nameMachine(boot);
  } catch (err) {
    log.warn('the machine could not be prepared', { cause: messageOf(err) });
  }
}
