export type {
  AgentFrame,
  Assignment,
  AttachShellFrame,
  AttemptReport,
  Hello,
  HubFrame,
  OutputFrame,
  ShellInput,
  ShellOpen,
  ShellOutput,
  ShellSize,
  Welcome,
} from '../model/agent-protocol.js';
