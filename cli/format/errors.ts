import { HubError } from '../../src/model/hub-error.js';

/** How an error is shown. */
export interface ErrorFormat {
  /** Adds stack traces. */
  readonly debug: boolean;
  readonly json: boolean;
}

/** The lines for stderr about an error that ended a command. */
export function errorLines(err: unknown, format: ErrorFormat): string {
  const known = err instanceof HubError ? err : undefined;
  const message = safe(known?.message ?? (err instanceof Error ? err.message : String(err)));
  const hint = known?.metadata.hint;
  const lines = format.json
    ? [jsonLine(known, message, hint)]
    : [`error: ${message}`, ...(hint ? [`hint: ${hint}`] : [])];
  if (format.debug && err instanceof Error) lines.push(stackOf(err));
  return `${lines.join('\n')}\n`;
}

/** Text from elsewhere without what could steer a terminal; line ends and tabs stay. */
export function safe(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

function jsonLine(err: HubError | undefined, message: string, hint: string | undefined): string {
  const error = { code: err?.reason ?? 'INTERNAL', message, ...(hint ? { hint } : {}), ...fieldsOf(err) };
  return JSON.stringify({ error });
}

function fieldsOf(err: HubError | undefined) {
  return err && err.fields.length > 0 ? { fields: err.fields } : {};
}

function stackOf(err: Error): string {
  const cause = err.cause instanceof Error ? `\ncaused by ${stackOf(err.cause)}` : '';
  return `${err.stack ?? err.message}${cause}`;
}
