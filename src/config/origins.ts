const FORM = 'exact origins such as https://ops.example or http://localhost:3000, with commas between them';

/** The origins of a comma list, and what is wrong with those that are none. */
export function parseOrigins(text: string): {
  readonly origins: readonly string[];
  readonly problem?: string;
} {
  const origins = text
    .split(',')
    .map((origin) => origin.trim())
    .filter((origin) => origin !== '');
  const bad = origins.find((origin) => !isOrigin(origin));
  if (bad === undefined) return { origins };
  const why = bad === '*' || bad === 'null' ? `${bad} would let in every page` : `not ${JSON.stringify(bad)}`;
  return { origins: [], problem: `${FORM}; ${why}` };
}

/** Whether a text is an origin exactly as browsers send it: scheme, host in lower case, port unless it is the usual. */
function isOrigin(text: string): boolean {
  if (!/^https?:/.test(text) || text.includes('*') || !URL.canParse(text)) return false;
  return new URL(text).origin === text;
}
