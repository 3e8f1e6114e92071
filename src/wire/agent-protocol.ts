/** Converters between the frames of the Agent service and the model, for the hub's door and the agent's link. */
export { agentFrameFromProto, agentFrameToProto, healthFromProto, healthToProto } from './agent-frames.js';
export {
  attachShellFromProto,
  attachShellToProto,
  MAX_CHUNK_BYTES,
  outputAcksFromProto,
  outputAcksToProto,
  outputFrameFromProto,
  outputFrameToProto,
  shellInputFromProto,
  shellInputToProto,
} from './agent-streams.js';
export { hubFrameFromProto, hubFrameToProto } from './hub-frames.js';
