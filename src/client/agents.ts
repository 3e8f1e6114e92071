import type { AgentInfo } from '../../gen/vmagent/v1/agent.js';
import {
  CreateAgentRequest,
  type CreateAgentResponse,
  type DeepPartial,
  type GetAgentStatusResponse,
  HubService,
  ListAgentsRequest,
  RegisterAgentRequest,
  type RegisterAgentResponse,
} from '../../gen/vmagent/v1/hub_service.js';
import type { CallOptions, Transport } from './transport.js';

/** Filters of {@link AgentsClient.list}; all may be left out. */
export type AgentFilter = Pick<DeepPartial<ListAgentsRequest>, 'status' | 'type' | 'capability'>;

const DEFAULT_CREATE_SECONDS = 600;
const DEFAULT_FURNISH_SECONDS = 1_800;
/** Time for the hub to answer after its own limit has run out. */
const ANSWER_MS = 30_000;
const REMOVE_MS = 15 * 60_000;

/** Agents of the hub. */
export class AgentsClient {
  constructor(private readonly transport: Transport) {}

  /** All agents that match, in the order of their names, however many pages they take. */
  async list(filter: AgentFilter = {}, options: CallOptions = {}): Promise<AgentInfo[]> {
    const agents: AgentInfo[] = [];
    let pageToken = '';
    do {
      const request = ListAgentsRequest.fromPartial({ ...filter, pageToken });
      const page = await this.transport.unary(HubService.listAgents, request, options);
      agents.push(...page.agents);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return agents;
  }

  /** One agent with its machine. @throws AGENT_NOT_FOUND. */
  get(agent: string, options: CallOptions = {}): Promise<GetAgentStatusResponse> {
    return this.transport.unary(HubService.getAgentStatus, { agent }, options);
  }

  /** Makes a machine that becomes an agent; resolves when the agent can run a command. */
  create(request: DeepPartial<CreateAgentRequest>, options: CallOptions = {}): Promise<CreateAgentResponse> {
    const seconds =
      request.timeout?.seconds ?? (request.profile ? DEFAULT_FURNISH_SECONDS : DEFAULT_CREATE_SECONDS);
    const deadlineMs = options.deadlineMs ?? seconds * 1000 + ANSWER_MS;
    const message = CreateAgentRequest.fromPartial(request);
    return this.transport.unary(HubService.createAgent, message, { ...options, deadlineMs });
  }

  /** Registers an agent that is started by hand; answers its join secret, this once. */
  register(
    request: DeepPartial<RegisterAgentRequest>,
    options: CallOptions = {},
  ): Promise<RegisterAgentResponse> {
    return this.transport.unary(HubService.registerAgent, RegisterAgentRequest.fromPartial(request), options);
  }

  /** Removes an agent and its machine with all snapshots. @throws AGENT_BUSY without `force`. */
  async remove(agent: string, options: CallOptions & { readonly force?: boolean } = {}): Promise<void> {
    const { force = false, deadlineMs = REMOVE_MS } = options;
    await this.transport.unary(HubService.deleteAgent, { agent, force }, { ...options, deadlineMs });
  }
}
