import type { Image, Profile, Provider, Snapshot, Vm } from '../../gen/vmagent/v1/vm.js';
import {
  CreateSnapshotRequest,
  type DeepPartial,
  KeepVmAliveRequest,
  ListVmsRequest,
  ResizeVmRequest,
  type ResizeVmResponse,
  type StartVmResponse,
  VmManagerService,
} from '../../gen/vmagent/v1/vm_manager_service.js';
import { HubError } from '../model/hub-error.js';
import type { CallOptions, Transport } from './transport.js';

/** Starting, stopping and saving machines may take this long. */
const OPERATION_MS = 15 * 60_000;

/** Machines of agents. */
export class MachinesClient {
  constructor(private readonly transport: Transport) {}

  /** One machine. @throws AGENT_NOT_FOUND, VM_NOT_FOUND. */
  async get(agent: string, options: CallOptions = {}): Promise<Vm> {
    return some((await this.transport.unary(VmManagerService.getVm, { agent }, options)).vm);
  }

  /** All machines, in the order of their names. */
  async list(provider = '', options: CallOptions = {}): Promise<Vm[]> {
    const vms: Vm[] = [];
    let pageToken = '';
    do {
      const request = ListVmsRequest.fromPartial({ provider, pageToken });
      const page = await this.transport.unary(VmManagerService.listVms, request, options);
      vms.push(...page.vms);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return vms;
  }

  /** Starts a machine; resolves when its agent is online. */
  start(agent: string, options: CallOptions = {}): Promise<StartVmResponse> {
    return this.transport.unary(VmManagerService.startVm, { agent }, long(options));
  }

  /** Stops a machine; its disk is kept. */
  async stop(agent: string, options: CallOptions & { readonly force?: boolean } = {}): Promise<Vm> {
    const request = { agent, force: options.force ?? false };
    return some((await this.transport.unary(VmManagerService.stopVm, request, long(options))).vm);
  }

  /** Stops and starts a machine. */
  async restart(agent: string, options: CallOptions = {}): Promise<Vm> {
    return some((await this.transport.unary(VmManagerService.restartVm, { agent }, long(options))).vm);
  }

  /** Gives a machine other resources; what is left out stays. */
  resize(request: DeepPartial<ResizeVmRequest>, options: CallOptions = {}): Promise<ResizeVmResponse> {
    const message = ResizeVmRequest.fromPartial(request);
    return this.transport.unary(VmManagerService.resizeVm, message, long(options));
  }

  /** Holds off what its ttl and idle stop would do. */
  async keepAlive(request: DeepPartial<KeepVmAliveRequest>, options: CallOptions = {}): Promise<Vm> {
    const message = KeepVmAliveRequest.fromPartial(request);
    return some((await this.transport.unary(VmManagerService.keepVmAlive, message, options)).vm);
  }

  /** The last lines of its console; 0 means all that are kept. */
  async console(agent: string, lines = 0, options: CallOptions = {}): Promise<string> {
    return (await this.transport.unary(VmManagerService.getConsole, { agent, lines }, options)).text;
  }

  /** Snapshots of a machine, oldest first. */
  async snapshots(agent: string, options: CallOptions = {}): Promise<Snapshot[]> {
    return (await this.transport.unary(VmManagerService.listSnapshots, { agent }, options)).snapshots;
  }

  /** Saves the state of a machine. */
  async snapshot(request: DeepPartial<CreateSnapshotRequest>, options: CallOptions = {}): Promise<Snapshot> {
    const message = CreateSnapshotRequest.fromPartial(request);
    return some(
      (await this.transport.unary(VmManagerService.createSnapshot, message, long(options))).snapshot,
    );
  }

  /** Removes a snapshot. */
  async removeSnapshot(agent: string, snapshot: string, options: CallOptions = {}): Promise<void> {
    await this.transport.unary(VmManagerService.deleteSnapshot, { agent, snapshot }, long(options));
  }

  /** Takes a machine back to a snapshot; resolves when its agent is online again. */
  async restore(agent: string, snapshot: string, options: CallOptions = {}): Promise<Vm> {
    const request = { agent, snapshot };
    return some((await this.transport.unary(VmManagerService.restoreSnapshot, request, long(options))).vm);
  }

  /** Providers that the hub knows, in the order of preference. */
  async providers(options: CallOptions = {}): Promise<Provider[]> {
    return (await this.transport.unary(VmManagerService.listProviders, {}, options)).providers;
  }

  /** Profiles that machines can be furnished with, by name. */
  async profiles(options: CallOptions = {}): Promise<Profile[]> {
    return (await this.transport.unary(VmManagerService.listProfiles, {}, options)).profiles;
  }

  /** Images that machines can be made from. */
  async images(provider = '', options: CallOptions = {}): Promise<Image[]> {
    return (await this.transport.unary(VmManagerService.listImages, { provider }, options)).images;
  }
}

function long(options: CallOptions): CallOptions {
  return { deadlineMs: OPERATION_MS, ...options };
}

function some<T>(value: T | undefined): T {
  if (value === undefined) throw new HubError('INTERNAL', 'the hub answered without what was asked for');
  return value;
}
