import type { Registry } from '@bufbuild/protobuf';

/** How JSON becomes a message. */
export interface JsonInputOptions {
  readonly registry: Registry;
  /** Refuses fields that the message does not have, instead of ignoring them. */
  readonly rejectUnknownFields: boolean;
  /** Adds google.rpc.BadRequest details to errors. */
  readonly fieldViolations: boolean;
}

/** The same for the library. */
export const decodeOptions = ({ registry, rejectUnknownFields }: JsonInputOptions) => ({
  registry,
  ignoreUnknownFields: !rejectUnknownFields,
});
