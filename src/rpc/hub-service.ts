import type { HubService } from '../../gen/vmagent/v1/hub_service.js';
import type { HubApi } from '../hub/api.js';
import type { Caller } from '../security/caller.js';
import type { VmApi } from '../vm/api.js';
import { adminHandlers } from './admin-handlers.js';
import { agentHandlers } from './agent-handlers.js';
import type { Handlers } from './call-context.js';
import { taskHandlers } from './task-handlers.js';

/** The service Hub: reads and checks messages, calls the hub, and writes its answers. */
export function hubHandlers(hub: HubApi, vms: VmApi): Handlers<typeof HubService, Caller> {
  return { ...taskHandlers(hub), ...agentHandlers(hub, vms), ...adminHandlers(hub) };
}
