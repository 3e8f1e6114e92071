import type { VmManagerService } from '../../gen/vmagent/v1/vm_manager_service.js';
import type { HubApi } from '../hub/api.js';
import { checkName } from '../model/names.js';
import type { Vm } from '../model/vm.js';
import type { Caller } from '../security/caller.js';
import type { VmApi } from '../vm/api.js';
import { agentToProto } from '../wire/agent.js';
import { keepFromProto, resourcesFromProto } from '../wire/agent-requests.js';
import { decodePageToken, encodePageToken, pageSize } from '../wire/pages.js';
import { check } from '../wire/violations.js';
import { imageToProto, profileToProto, providerToProto, snapshotToProto, vmToProto } from '../wire/vm.js';
import type { Handlers } from './call-context.js';

const DESCRIPTION_BYTES = 1024;
const MAX_CONSOLE_LINES = 1_000_000;

/** The service VmManager: reads and checks messages, calls the VM manager, and writes its answers. */
export function vmManagerHandlers(hub: HubApi, vms: VmApi): Handlers<typeof VmManagerService, Caller> {
  /** Names an agent that is there, so that a wrong name and a missing machine are told apart. */
  const known = async (agent: string): Promise<string> => {
    await hub.agents.get(checkName('agent', agent));
    return agent;
  };
  return {
    async getVm(ctx, req) {
      const name = await known(req.agent);
      return { vm: vmToProto(vms.get(name), await vms.usage(name, ctx.signal)) };
    },
    async listVms(_ctx, req) {
      const after = decodePageToken(req.pageToken) ?? '';
      return pageOf(vms.list(), { after, provider: req.provider, size: pageSize(req.pageSize, 1000, 5000) });
    },
    async startVm(ctx, req) {
      const vm = await vms.start(await known(req.agent), ctx.signal);
      return { vm: vmToProto(vm), agent: agentToProto(await hub.agents.get(req.agent)) };
    },
    stopVm: async (ctx, req) => ({
      vm: vmToProto(await vms.stop(await known(req.agent), req.force, ctx.signal)),
    }),
    restartVm: async (ctx, req) => ({
      vm: vmToProto(await vms.restart(await known(req.agent), ctx.signal)),
    }),
    async resizeVm(ctx, req) {
      const wanted = resourcesFromProto(req);
      const { vm, restartNeeded } = await vms.resize(await known(req.agent), wanted, ctx.signal);
      return { vm: vmToProto(vm), restartNeeded };
    },
    async keepVmAlive(_ctx, req) {
      const forMs = keepFromProto(req.duration);
      return { vm: vmToProto(await vms.keepAlive(await known(req.agent), forMs)) };
    },
    async getConsole(_ctx, req) {
      check((found) => found.number('lines', req.lines, 0, MAX_CONSOLE_LINES));
      return { text: await vms.console(await known(req.agent), req.lines === 0 ? undefined : req.lines) };
    },
    listSnapshots: async (_ctx, req) => ({
      snapshots: (await vms.snapshots(await known(req.agent))).map(snapshotToProto),
    }),
    async createSnapshot(ctx, req) {
      const name = req.name === '' ? `snapshot-${Date.now()}` : req.name;
      check((found) => {
        found.name('agent', req.agent);
        found.name('name', name);
        found.text('description', req.description, DESCRIPTION_BYTES);
      });
      const snapshot = await vms.snapshot(await known(req.agent), name, req.description, ctx.signal);
      return { snapshot: snapshotToProto(snapshot) };
    },
    async deleteSnapshot(ctx, req) {
      const snapshot = checkName('snapshot', req.snapshot);
      await vms.deleteSnapshot(await known(req.agent), snapshot, ctx.signal);
      return {};
    },
    async restoreSnapshot(ctx, req) {
      const snapshot = checkName('snapshot', req.snapshot);
      return { vm: vmToProto(await vms.restore(await known(req.agent), snapshot, ctx.signal)) };
    },
    listProviders: async () => ({ providers: (await vms.providers()).map(providerToProto) }),
    async listImages(_ctx, req) {
      const images = (await vms.images()).filter(({ provider }) => wanted(req.provider, provider));
      return { images: images.map(imageToProto) };
    },
    listProfiles: async () => ({ profiles: (await vms.profiles()).map(profileToProto) }),
  };
}

function wanted(asked: string, provider: string): boolean {
  return asked === '' || asked === provider;
}

function pageOf(
  vms: readonly Vm[],
  page: { readonly after: string; readonly provider: string; readonly size: number },
) {
  const rest = vms.filter(({ name, provider }) => name > page.after && wanted(page.provider, provider));
  const shown = rest.slice(0, page.size);
  const nextPageToken = rest.length > shown.length ? encodePageToken(shown.at(-1)?.name ?? '') : '';
  return { vms: shown.map((vm) => vmToProto(vm)), nextPageToken };
}
