import { AgentInfo } from '../../gen/vmagent/v1/agent.js';
import type { HubService, ShellRequest } from '../../gen/vmagent/v1/hub_service.js';
import type { Vm as ProtoVm } from '../../gen/vmagent/v1/vm.js';
import { mapAsync } from '../base/map-async.js';
import type { HubApi } from '../hub/api.js';
import { HubError } from '../model/hub-error.js';
import { checkName } from '../model/names.js';
import type { Caller } from '../security/caller.js';
import type { VmApi } from '../vm/api.js';
import { agentToProto } from '../wire/agent.js';
import {
  agentFilterFromProto,
  createAgentFromProto,
  registerAgentFromProto,
} from '../wire/agent-requests.js';
import { encodePageToken } from '../wire/pages.js';
import { shellInputFromProto, shellOpenFromProto, shellOutputToProto } from '../wire/shell.js';
import { vmToProto } from '../wire/vm.js';
import { requireAdmin } from './admission.js';
import type { Handlers } from './call-context.js';
import { PageFiller } from './pages.js';

type AgentMethods =
  | 'listAgents'
  | 'createAgent'
  | 'registerAgent'
  | 'getAgentStatus'
  | 'deleteAgent'
  | 'shell';

/** Hub methods about agents. */
export function agentHandlers(
  hub: HubApi,
  vms: VmApi,
): Pick<Handlers<typeof HubService, Caller>, AgentMethods> {
  const { agents } = hub;
  return {
    async listAgents(_ctx, req) {
      const filter = agentFilterFromProto(req);
      const found = await agents.list({ ...filter, limit: filter.limit + 1 });
      const filler = new PageFiller(AgentInfo);
      for (const agent of found.slice(0, filter.limit)) if (!filler.add(agentToProto(agent))) break;
      const more = filler.items.length < found.length;
      const nextPageToken = more ? encodePageToken(filler.items.at(-1)?.id ?? '') : '';
      return { agents: filler.items, nextPageToken };
    },
    async createAgent(ctx, req) {
      const request = createAgentFromProto(req);
      if (request.allowHostSudo) requireAdmin(ctx.caller, 'allowHostSudo');
      const { agent, vm } = await agents.create(request, ctx.signal);
      return { agent: agentToProto(agent), vm: vmToProto(vm) };
    },
    async registerAgent(_ctx, req) {
      const { id, metadata } = registerAgentFromProto(req);
      const { agent, token, door } = await agents.register(id, metadata);
      return { agent: agentToProto(agent), token, door };
    },
    async getAgentStatus(ctx, req) {
      const agent = await agents.get(checkName('agent', req.agent));
      return { agent: agentToProto(agent), vm: await findVm(vms, agent.record.id, ctx.signal) };
    },
    async deleteAgent(ctx, req) {
      const id = checkName('agent', req.agent);
      if (await agents.hasVm(id)) requireAdmin(ctx.caller, 'removing an agent that has a machine');
      await agents.remove(id, req.force, ctx.signal);
      return { status: 'deregistered' };
    },
    async *shell(ctx, requests) {
      const reader = requests[Symbol.asyncIterator]();
      const { agent, open } = await readOpen(reader);
      const rest = { [Symbol.asyncIterator]: () => reader };
      const output = await agents.shell(agent, open, mapAsync(rest, shellInputFromProto), ctx.signal);
      yield* mapAsync(output, shellOutputToProto);
    },
  };
}

async function readOpen(reader: AsyncIterator<ShellRequest>) {
  const first = await reader.next();
  const message = first.done ? undefined : first.value.message;
  if (message?.$case === 'open') return shellOpenFromProto(message.value);
  throw HubError.invalid({ field: 'open', description: 'must be the first message' });
}

/** The machine of an agent; none for one that was started by hand. */
async function findVm(vms: VmApi, name: string, signal: AbortSignal): Promise<ProtoVm | undefined> {
  const vm = vms.list().find((one) => one.name === name);
  return vm === undefined ? undefined : vmToProto(vm, await vms.usage(name, signal));
}
