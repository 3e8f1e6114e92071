import type { DescMessage, DescService, Registry } from '@bufbuild/protobuf';
import type { Binding } from './bindings.js';
import { ERROR_RESPONSES, STATUS, statusSchema } from './openapi-errors.js';
import { messagesBelow } from './openapi-messages.js';
import { operation } from './openapi-operation.js';
import { covers, type DescribedPath, describePath } from './openapi-paths.js';
import { describe, SchemaSet } from './openapi-schema.js';
import type { Schema } from './openapi-types.js';
import { parseTemplate } from './template.js';

/** Options of {@link createOpenApi}. */
export interface OpenApiOptions {
  readonly title: string;
  readonly version: string;
  readonly description?: string;
  /** How callers say who they are, as OpenAPI's security schemes and requirements. Default: not said. */
  readonly security?: { readonly schemes: Schema; readonly requirements: readonly Schema[] };
  /** Paths that may be read without credentials. */
  readonly openPaths?: readonly string[];
  /** Whether errors hold `"error": message` as well. */
  readonly legacyErrorField?: boolean;
  /** Routes beside the protos, which win over those of the protos. */
  readonly beside?: readonly DescribedRoute[];
}

/** A route that no proto has. */
export interface DescribedRoute {
  /** Such as `get`. */
  readonly method: string;
  readonly path: string;
  /** An OpenAPI operation. */
  readonly operation: Schema;
}

/** Describes bindings as an OpenAPI 3.1 document, with the comments of the protos. */
export function createOpenApi(
  bindings: readonly Binding[],
  registry: Registry,
  options: OpenApiOptions,
): Schema {
  return new Document(bindings, registry, options).build();
}

interface PathEntry {
  readonly described: DescribedPath;
  readonly operations: Record<string, Schema>;
}

/** Methods that a path of OpenAPI may have. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

class Document {
  private readonly schemas: SchemaSet;
  private readonly paths = new Map<string, PathEntry>();
  private readonly leftOut: Schema[] = [];
  private readonly ids = new Set<string>();
  private readonly tags: ReadonlyMap<DescService, string>;

  constructor(
    private readonly bindings: readonly Binding[],
    private readonly registry: Registry,
    private readonly options: OpenApiOptions,
  ) {
    const asked = messagesBelow(bindings.map(({ method }) => method.input));
    this.schemas = new SchemaSet({ registry, isAnswer: (desc: DescMessage) => !asked.has(desc.typeName) });
    this.tags = tagNames(bindings);
  }

  build(): Schema {
    const { title, version, description, security, beside = [], legacyErrorField = false } = this.options;
    for (const [at, binding] of this.bindings.entries()) this.addBinding(binding, at);
    for (const route of beside) this.addBeside(route);
    return {
      openapi: '3.1.0',
      info: { title, version, ...(description === undefined ? {} : { description }) },
      servers: [{ url: '/' }],
      tags: this.describedTags(),
      paths: Object.fromEntries(
        [...this.paths.values()].map((entry) => [entry.described.path, entry.operations]),
      ),
      components: {
        schemas: { ...this.schemas.all, [STATUS]: statusSchema(legacyErrorField) },
        responses: ERROR_RESPONSES,
        ...(security === undefined ? {} : { securitySchemes: security.schemes }),
      },
      ...(security === undefined ? {} : { security: security.requirements }),
      ...(this.leftOut.length === 0 ? {} : { 'x-left-out': this.leftOut }),
    };
  }

  private describedTags(): Schema[] {
    const beside = (this.options.beside ?? []).flatMap(({ operation: described }) => described.tags ?? []);
    return [
      ...[...this.tags].map(([service, name]) => ({ name, ...withoutDeprecated(describe(service)) })),
      ...[...new Set(beside)].map((name) => ({ name })),
    ];
  }

  private addBeside({ method, path, operation: described }: DescribedRoute): void {
    const entry = this.entry(describePath(parseTemplate(path)));
    entry.operations[method] = this.withSecurity(path, described);
  }

  private addBinding(binding: Binding, at: number): void {
    const reason = this.whyNot(binding, at);
    const method = binding.httpMethod.toLowerCase();
    const described = describePath(parseTemplate(binding.path));
    if (reason !== undefined) {
      this.leftOut.push({ route: `${binding.httpMethod} ${binding.path}`, method: binding.grpcPath, reason });
      return;
    }
    const entry = this.entry(described);
    const names = entry.described.parameters.map(({ name }) => name);
    const made = operation({
      binding,
      operationId: this.operationId(binding),
      tag: this.tags.get(binding.method.parent) ?? '',
      path: described.parameters.map((parameter, i) => [names[i] ?? parameter.name, parameter]),
      registry: this.registry,
      schemas: this.schemas,
    });
    entry.operations[method] = this.withSecurity(binding.path, made);
  }

  /** Why a binding has no place in the document. */
  private whyNot({ httpMethod, path }: Binding, at: number): string | undefined {
    if (!METHODS.includes(httpMethod.toLowerCase())) return `OpenAPI has no method ${httpMethod}`;
    const template = parseTemplate(path);
    const later = this.bindings.slice(at + 1).filter((other) => other.httpMethod === httpMethod);
    const winner =
      later.find((other) => covers(parseTemplate(other.path), template)) ??
      later.find((other) => describePath(parseTemplate(other.path)).key === describePath(template).key);
    if (winner !== undefined) return `${httpMethod} ${winner.path}, declared later, takes its place`;
    const beside = (this.options.beside ?? []).find(
      (route) => route.method === httpMethod.toLowerCase() && covers(parseTemplate(route.path), template),
    );
    return beside === undefined ? undefined : `the route ${beside.path} takes its place`;
  }

  private entry(described: DescribedPath): PathEntry {
    const known = this.paths.get(described.key);
    if (known !== undefined) return known;
    const entry = { described, operations: {} };
    this.paths.set(described.key, entry);
    return entry;
  }

  private operationId({ method }: Binding): string {
    const name = `${this.tags.get(method.parent) ?? ''}_${method.name}`.replaceAll('.', '_');
    let id = name;
    for (let number = 2; this.ids.has(id); number++) id = `${name}_${number}`;
    this.ids.add(id);
    return id;
  }

  private withSecurity(path: string, described: Schema): Schema {
    const isOpen = this.options.security !== undefined && (this.options.openPaths ?? []).includes(path);
    return isOpen ? { ...described, security: [] } : described;
  }
}

/** Services by the names of their tags: short, unless two have the same. */
function tagNames(bindings: readonly Binding[]): Map<DescService, string> {
  const services = [...new Set(bindings.map(({ method }) => method.parent))];
  return new Map(
    services.map((service) => {
      const twin = services.some((other) => other !== service && other.name === service.name);
      return [service, twin ? service.typeName : service.name];
    }),
  );
}

function withoutDeprecated({ deprecated: _, ...rest }: Schema): Schema {
  return rest;
}
