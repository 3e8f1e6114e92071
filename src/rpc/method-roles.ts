import type { Role } from '../security/caller.js';

/**
 * Who may call a method: a role (and those above it), anybody who can connect, or an agent about itself. A
 * method that is missing here is refused; a test fails when one is.
 */
export type Access = Role | 'anybody' | 'agent';

const HUB: Readonly<Record<string, Access>> = {
  CreateTask: 'operator',
  ListTasks: 'viewer',
  GetTask: 'viewer',
  CancelTask: 'operator',
  WatchTask: 'viewer',
  StreamLogs: 'viewer',
  ListAgents: 'viewer',
  /** With `allow_host_sudo`: admin. */
  CreateAgent: 'operator',
  RegisterAgent: 'operator',
  GetAgentStatus: 'viewer',
  /** For an agent that has a machine: admin. */
  DeleteAgent: 'operator',
  Shell: 'operator',
  WatchEvents: 'viewer',
  GetHealth: 'anybody',
  GetStats: 'viewer',
  ListDeadLetters: 'viewer',
  ClearDeadLetters: 'operator',
  SetLogLevel: 'admin',
};

const VM_MANAGER: Readonly<Record<string, Access>> = {
  GetVm: 'viewer',
  ListVms: 'viewer',
  StartVm: 'operator',
  StopVm: 'operator',
  RestartVm: 'operator',
  ResizeVm: 'operator',
  KeepVmAlive: 'operator',
  GetConsole: 'viewer',
  ListSnapshots: 'viewer',
  CreateSnapshot: 'operator',
  DeleteSnapshot: 'admin',
  RestoreSnapshot: 'admin',
  ListProviders: 'viewer',
  ListImages: 'viewer',
  ListProfiles: 'viewer',
};

const AGENT: Readonly<Record<string, Access>> = {
  Connect: 'agent',
  StreamOutput: 'agent',
  AttachShell: 'agent',
};

const TABLE: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  'vmagent.v1.Hub': HUB,
  'vmagent.v1.VmManager': VM_MANAGER,
  'vmagent.v1.Agent': AGENT,
  'grpc.health.v1.Health': { Check: 'anybody', Watch: 'anybody' },
  'grpc.reflection.v1.ServerReflection': { ServerReflectionInfo: 'viewer' },
  'grpc.reflection.v1alpha.ServerReflection': { ServerReflectionInfo: 'viewer' },
};

/** Who may call the method with this path, such as `/vmagent.v1.Hub/GetTask`; undefined for nobody. */
export function accessTo(path: string): Access | undefined {
  const [, service = '', method = ''] = path.split('/');
  const methods = Object.hasOwn(TABLE, service) ? TABLE[service] : undefined;
  return methods !== undefined && Object.hasOwn(methods, method) ? methods[method] : undefined;
}
