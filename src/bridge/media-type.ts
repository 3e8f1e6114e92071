const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[^"\\\\\\r\\n]|\\\\[^])*"';
const PARAMETER = new RegExp(`^\\s*;\\s*(${TOKEN})\\s*=\\s*(${TOKEN}|${QUOTED})`);

/** What a `Content-Type` is, or why it is none, in Go's words. */
export interface MediaType {
  /** In lower case, without parameters; empty when it cannot be told. */
  readonly type: string;
  readonly error?: string;
}

/** Takes a `Content-Type` apart as Go's package mime does. */
export function parseMediaType(text: string): MediaType {
  const [base = ''] = text.split(';', 1);
  const type = base.trim().toLowerCase();
  const error = checkType(type);
  if (error !== undefined) return { type: '', error };
  const seen = new Map<string, string>();
  for (let rest = text.slice(base.length); rest.trim() !== ''; ) {
    const [all = '', name = '', value = ''] = PARAMETER.exec(rest) ?? [];
    if (all === '') return rest.trim() === ';' ? { type } : { type, error: 'mime: invalid media parameter' };
    const key = name.toLowerCase();
    if ((seen.get(key) ?? value) !== value) return { type: '', error: 'mime: duplicate parameter name' };
    seen.set(key, value);
    rest = rest.slice(all.length);
  }
  return { type };
}

function checkType(type: string): string | undefined {
  const [, main = '', rest = ''] = new RegExp(`^(${TOKEN})?(.*)$`, 's').exec(type) ?? [];
  if (main === '') return 'mime: no media type';
  if (rest === '') return undefined;
  if (!rest.startsWith('/')) return 'mime: expected slash after first token';
  const [, sub = '', more = ''] = new RegExp(`^/(${TOKEN})?(.*)$`, 's').exec(rest) ?? [];
  if (sub === '') return 'mime: expected token after slash';
  return more === '' ? undefined : 'mime: unexpected content after media subtype';
}
