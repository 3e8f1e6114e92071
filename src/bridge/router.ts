import type { Template } from './template.js';

/** A route: requests of `method` whose path matches `template` go to `target`. */
export interface Route<T> {
  readonly method: string;
  readonly template: Template;
  readonly target: T;
}

/** What a request was matched with. */
export type RouteResult<T> =
  | { readonly kind: 'found'; readonly target: T; readonly params: ReadonlyMap<string, string> }
  | { readonly kind: 'not-found' }
  /** Another method would match; `get` is set when that method is GET. */
  | {
      readonly kind: 'wrong-method';
      readonly get?: { readonly target: T; readonly params: ReadonlyMap<string, string> };
    };

/**
 * Finds the route of a request as grpc-gateway does: the route declared last wins every overlap, and a literal
 * is not preferred to a variable.
 */
export class Router<T> {
  private readonly byMethod = new Map<string, Route<T>[]>();

  /** @param routes in the order of their declaration. */
  constructor(routes: readonly Route<T>[]) {
    for (const route of [...routes].reverse()) {
      const list = this.byMethod.get(route.method) ?? [];
      list.push(route);
      this.byMethod.set(route.method, list);
    }
  }

  /** @param path decoded path, beginning with "/". */
  match(method: string, path: string): RouteResult<T> {
    const components = path.slice(1).split('/');
    for (const route of this.byMethod.get(method) ?? []) {
      if (isBareVerb(components, route.template.verb)) return { kind: 'not-found' };
      const params = matchTemplate(route.template, components);
      if (params !== undefined) return { kind: 'found', target: route.target, params };
    }
    return this.matchOthers(method, components);
  }

  /** The methods that a path is known for, in alphabetical order. */
  methodsOf(path: string): string[] {
    const components = path.slice(1).split('/');
    const known = [...this.byMethod.keys()];
    return known.filter((method) => this.firstMatch(method, components) !== undefined).sort();
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

  private firstMatch(method: string, components: readonly string[]) {
    for (const { template, target } of this.byMethod.get(method) ?? []) {
      const params = matchTemplate(template, components);
      if (params !== undefined) return { target, params };
    }
    return undefined;
  }
}

/** Values of the template's captures, or undefined when the path does not match. */
export function matchTemplate(
  template: Template,
  components: readonly string[],
): ReadonlyMap<string, string> | undefined {
  const parts = cutVerb(components, template.verb);
  if (parts === undefined) return undefined;
  const values = matchSegments(template, parts);
  if (values === undefined) return undefined;
  return new Map(template.captures.map(({ field, from, to }) => [field, values.slice(from, to).join('/')]));
}

function cutVerb(components: readonly string[], verb: string): readonly string[] | undefined {
  if (verb === '') return components;
  const last = components.at(-1) ?? '';
  if (!last.endsWith(`:${verb}`)) return undefined;
  return [...components.slice(0, -1), last.slice(0, -verb.length - 1)];
}

/** The text of each segment; that of `**` may hold slashes. */
function matchSegments({ segments }: Template, parts: readonly string[]): string[] | undefined {
  const many = parts.length - segments.length + 1;
  const hasMany = segments.some((segment) => segment.kind === 'many');
  if (hasMany ? many < 0 : many !== 1) return undefined;
  const values: string[] = [];
  let at = 0;
  for (const segment of segments) {
    const width = segment.kind === 'many' ? many : 1;
    const value = parts.slice(at, at + width).join('/');
    if (segment.kind === 'literal' && value !== segment.text) return undefined;
    values.push(value);
    at += width;
  }
  return values;
}

function isBareVerb(components: readonly string[], verb: string): boolean {
  return verb !== '' && components.at(-1) === `:${verb}`;
}
