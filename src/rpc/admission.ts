import type { DoorApi } from '../hub/api.js';
import { HubError } from '../model/hub-error.js';
import { type Caller, hasRole } from '../security/caller.js';
import type { CallerRule } from '../security/caller-rule.js';
import type { Connection } from '../security/connection.js';
import { bearerToken } from '../security/secret.js';
import { firstText } from './call-context.js';
import type { IncomingCall } from './handlers.js';
import { type Access, accessTo } from './method-roles.js';

/** Metadata in which an agent names itself. */
export const AGENT_ID_KEY = 'x-agent-id';

/** An agent whose secret was checked. */
export interface AgentCaller {
  readonly agentId: string;
}

/** What operators are told apart by. */
export interface OperatorAdmission {
  readonly rule: CallerRule;
  readonly connectionOf: (peer: string) => Connection | undefined;
}

/** Lets operators in: finds out who calls and checks the table of methods. */
export function admitOperators(options: OperatorAdmission): (call: IncomingCall) => Promise<Caller> {
  return async (call) => {
    const access = accessTo(call.path);
    if (access === 'anybody') return ANYBODY;
    return requireAccess(call, access, await callerOf(call, options));
  };
}

/** Lets in for whom another door of this process calls: that door has found out who it is. */
export async function admitHandedOver(call: IncomingCall): Promise<Caller> {
  const access = accessTo(call.path);
  if (access === 'anybody') return ANYBODY;
  if (call.caller === undefined) throw new HubError('NOT_AUTHENTICATED', 'nobody was said to call');
  return requireAccess(call, access, call.caller);
}

/** Lets agents in, each about itself only. */
export function admitAgents(
  door: Pick<DoorApi, 'authenticate'>,
): (call: IncomingCall) => Promise<AgentCaller> {
  return async ({ metadata, path }) => {
    if (accessTo(path) !== 'agent') throw new HubError('NOT_ALLOWED', 'this method is not for agents');
    const agentId = firstText(metadata, AGENT_ID_KEY);
    const secret = bearerToken(firstText(metadata, 'authorization'));
    if (agentId === undefined || secret === undefined)
      throw new HubError(
        'NOT_AUTHENTICATED',
        `an agent sends its name in ${AGENT_ID_KEY} and its join secret in "authorization: Bearer <secret>"`,
      );
    await door.authenticate(agentId, secret);
    return { agentId };
  };
}

/**
 * Checks a rule that depends on what is asked for.
 *
 * @throws HubError NOT_ALLOWED.
 */
export function requireAdmin(caller: Caller, what: string): void {
  if (hasRole(caller, 'admin')) return;
  const message = `${what} needs the role admin; ${caller.name} has the role ${caller.role}. ${USE_TOKEN}`;
  throw new HubError('NOT_ALLOWED', message, { metadata: { caller: caller.name, role: caller.role } });
}

const ANYBODY: Caller = { name: 'anybody', role: 'viewer' };
const USE_TOKEN = 'Use the token of the file "token" in the hub\'s home, as the CLI does';

async function callerOf(call: IncomingCall, options: OperatorAdmission): Promise<Caller> {
  const authorization = firstText(call.metadata, 'authorization');
  return options.rule.authorize({ authorization, connection: options.connectionOf(call.peer) });
}

function requireAccess(
  call: IncomingCall,
  access: Exclude<Access, 'anybody'> | undefined,
  caller: Caller,
): Caller {
  if (access === undefined || access === 'agent' || !hasRole(caller, access)) throw notAllowed(call, access);
  return caller;
}

function notAllowed(call: IncomingCall, access: string | undefined): HubError {
  const method = call.path.split('/')[2] ?? '';
  const message = `${method} needs the role ${access ?? 'nobody has'}. ${USE_TOKEN}`;
  return new HubError('NOT_ALLOWED', message, { metadata: { method } });
}
