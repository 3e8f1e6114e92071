import { bytesOfText, textOfBytes } from './percent.js';
import type { RequestPath } from './request-target.js';
import type { Template } from './template.js';
import { splitPath, type UnescapingMode, unescapeValue } from './unescaping.js';

/** A route: requests of `method` whose path matches `template` go to `target`. */
export interface Route<T> {
  readonly method: string;
  readonly template: Template;
  readonly target: T;
}

/** A route that was found, with the values of its template's captures. */
export interface Match<T> {
  readonly target: T;
  readonly params: ReadonlyMap<string, string>;
}

/** What a request was matched with. */
export type RouteResult<T> =
  | ({ readonly kind: 'found' } & Match<T>)
  | { readonly kind: 'not-found' }
  /** Other methods would match; `get` is set when GET is one of them. */
  | { readonly kind: 'wrong-method'; readonly get?: Match<T> };

/**
 * Finds the route of a request as grpc-gateway does: the route declared last wins every overlap, and a literal
 * is not preferred to a variable.
 */
export class Router<T> {
  private readonly byMethod = new Map<string, Route<T>[]>();

  /** @param routes in the order of their declaration. */
  constructor(
    routes: readonly Route<T>[],
    private readonly mode: UnescapingMode = 'legacy',
  ) {
    for (const route of [...routes].reverse()) {
      const list = this.byMethod.get(route.method) ?? [];
      list.push({ ...route, template: inBytes(route.template) });
      this.byMethod.set(route.method, list);
    }
  }

  /**
   * @param path beginning with "/", in bytes.
   * @throws GatewayError for a value whose escapes are broken.
   */
  match(method: string, path: RequestPath): RouteResult<T> {
    const components = this.components(path);
    for (const route of this.byMethod.get(method) ?? []) {
      if (isBareVerb(components, route.template.verb)) return { kind: 'not-found' };
      const params = this.params(route.template, components);
      if (params !== undefined) return { kind: 'found', target: route.target, params };
    }
    return this.matchOthers(method, components);
  }

  /** The methods that a path is known for, in alphabetical order. */
  methodsOf(path: RequestPath): string[] {
    const components = this.components(path);
    const known = [...this.byMethod.keys()];
    return known.filter((method) => this.firstMatch(method, components) !== undefined).sort();
  }

  private components(path: RequestPath): string[] {
    return splitPath(this.mode === 'legacy' || path.raw === '' ? path.plain : path.raw, this.mode);
  }

  private matchOthers(method: string, components: readonly string[]): RouteResult<T> {
    const get = this.firstMatch('GET', components);
    if (get !== undefined && method !== 'GET') return { kind: 'wrong-method', get };
    for (const other of this.byMethod.keys()) {
      if (other !== method && this.firstMatch(other, components) !== undefined)
        return { kind: 'wrong-method' };
    }
    return { kind: 'not-found' };
  }

  private firstMatch(method: string, components: readonly string[]): Match<T> | undefined {
    for (const { template, target } of this.byMethod.get(method) ?? []) {
      const params = this.params(template, components);
      if (params !== undefined) return { target, params };
    }
    return undefined;
  }

  private params(template: Template, components: readonly string[]) {
    return matchTemplate(template, components, this.mode);
  }
}

/** Values of the template's captures, or undefined when the path does not match. */
export function matchTemplate(
  template: Template,
  components: readonly string[],
  mode: UnescapingMode = 'legacy',
): ReadonlyMap<string, string> | undefined {
  const parts = cutVerb(components, template.verb);
  if (parts === undefined) return undefined;
  const values = matchSegments(template, parts, mode);
  if (values === undefined) return undefined;
  const text = (from: number, to: number) => textOfBytes(values.slice(from, to).join('/'));
  return new Map(template.captures.map(({ field, from, to }) => [field, text(from, to)]));
}

function cutVerb(components: readonly string[], verb: string): readonly string[] | undefined {
  if (verb === '') return components;
  const last = components.at(-1) ?? '';
  if (!last.endsWith(`:${verb}`) || last.length === verb.length + 1) return undefined;
  return [...components.slice(0, -1), last.slice(0, -verb.length - 1)];
}

/** The bytes of each segment; those of `**` may hold slashes. */
function matchSegments({ segments }: Template, parts: readonly string[], mode: UnescapingMode) {
  const many = parts.length - segments.length + 1;
  const hasMany = segments.some((segment) => segment.kind === 'many');
  if (!hasMany && mode === 'legacy' && many !== 1) return undefined;
  const values: string[] = [];
  let at = 0;
  for (const segment of segments) {
    const isMany = segment.kind === 'many';
    const end = at + (isMany ? many : 1);
    if (end < at || end > parts.length) return undefined;
    const value = parts.slice(at, end).join('/');
    if (segment.kind === 'literal' && value !== segment.text) return undefined;
    values.push(segment.kind === 'literal' ? value : unescapeValue(value, mode, isMany));
    at = end;
  }
  return at === parts.length ? values : undefined;
}

function isBareVerb(components: readonly string[], verb: string): boolean {
  return verb !== '' && components.at(-1) === `:${verb}`;
}

function inBytes(template: Template): Template {
  const segments = template.segments.map((segment) =>
    segment.kind === 'literal' ? { ...segment, text: bytesOfText(segment.text) } : segment,
  );
  return { ...template, segments, verb: bytesOfText(template.verb) };
}
