import { HubError } from './hub-error.js';

/** Names of agents, machines and snapshots; safe in paths, argv and host names. */
export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Ids of tasks and names of lanes, chosen by callers. */
export const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** Whether a text is a valid name. */
export function isName(text: string): boolean {
  return NAME_PATTERN.test(text);
}

/**
 * Answers the name, or refuses it.
 *
 * @throws HubError INVALID_FIELD naming `field`.
 */
export function checkName(field: string, text: string): string {
  if (isName(text)) return text;
  const description = '1 to 63 characters a-z, 0-9 and -, beginning and ending with a letter or digit';
  throw HubError.invalid({ field, description });
}

/**
 * Answers the id, or refuses it.
 *
 * @throws HubError INVALID_FIELD naming `field`.
 */
export function checkId(field: string, text: string): string {
  if (ID_PATTERN.test(text)) return text;
  const description =
    '1 to 128 characters A-Z, a-z, 0-9, ".", "_", ":" and "-", beginning with a letter or digit';
  throw HubError.invalid({ field, description });
}
