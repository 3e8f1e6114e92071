import { type FieldViolation, HubError } from '../model/hub-error.js';
import type { VmResources } from '../model/vm.js';

/** Resources as people write them; absent, 0 and empty mean the default. */
export interface ResourceRequest {
  readonly cpu?: number;
  readonly memory?: string;
  readonly disk?: string;
}

/** What a machine gets when nobody says otherwise. */
export const DEFAULT_RESOURCES: VmResources = {
  cpu: 2,
  memoryBytes: 4 * 1024 ** 3,
  diskBytes: 20 * 1024 ** 3,
};

/** Most processors of one machine. */
export const MAX_CPU = 256;
const MIN_BYTES = 1024 ** 2;
const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };
const SIZE = /^(\d{1,16}(?:\.\d{1,3})?) ?(?:([KMGT])(?:i?B)?)?$/i;

/**
 * Reads resources and fills in the defaults.
 *
 * @throws HubError INVALID_FIELD naming every bad field of `cpu`, `memory` and `disk`.
 */
export function parseResources(request: ResourceRequest): VmResources {
  const cpu = request.cpu || DEFAULT_RESOURCES.cpu;
  const memoryBytes = request.memory ? parseSize(request.memory) : DEFAULT_RESOURCES.memoryBytes;
  const diskBytes = request.disk ? parseSize(request.disk) : DEFAULT_RESOURCES.diskBytes;
  const bad: FieldViolation[] = [];
  if (!Number.isInteger(cpu) || cpu < 1 || cpu > MAX_CPU) {
    bad.push({ field: 'cpu', description: `a whole number from 1 to ${MAX_CPU}` });
  }
  if (memoryBytes === undefined) bad.push({ field: 'memory', description: sizeRule('4G') });
  if (diskBytes === undefined) bad.push({ field: 'disk', description: sizeRule('20G') });
  if (bad.length > 0 || memoryBytes === undefined || diskBytes === undefined) throw HubError.invalid(...bad);
  return { cpu, memoryBytes, diskBytes };
}

/** Bytes of a size such as `4G`, `512MiB` or `1073741824`; undefined when it is none, or below 1 MiB. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ''] = SIZE.exec(text.trim()) ?? [];
  if (digits === undefined) return undefined;
  const bytes = Math.round(Number(digits) * (UNITS[unit.toUpperCase()] ?? 1));
  return bytes >= MIN_BYTES && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size for a person, such as `4G`, `512M` or `1.5G`. */
export function formatSize(bytes: number): string {
  const unit = bytes >= 1024 ** 3 ? 'G' : 'M';
  return `${Number((bytes / (UNITS[unit] ?? 1)).toFixed(1))}${unit}`;
}

/**
 * Refuses more than the host has, for the limits that the provider enforces.
 *
 * @throws HubError RESOURCES_EXCEEDED with the numbers.
 */
export function checkLimits(
  asked: VmResources,
  limits: VmResources,
  enforced: readonly ('cpu' | 'memory' | 'disk')[],
): void {
  const rows = [
    { name: 'cpu', asked: asked.cpu, limit: limits.cpu, show: String },
    { name: 'memory', asked: asked.memoryBytes, limit: limits.memoryBytes, show: formatSize },
    { name: 'disk', asked: asked.diskBytes, limit: limits.diskBytes, show: formatSize },
  ] as const;
  const over = rows.filter((row) => enforced.includes(row.name) && row.asked > row.limit);
  if (over.length === 0) return;
  const texts = over.map(
    (r) => `${r.name} ${r.show(r.asked)} is more than the ${r.show(r.limit)} of this host`,
  );
  const numbers = over.map((r) => [r.name, `${r.asked} > ${r.limit}`]);
  const fields = over.map((r) => ({ field: r.name, description: `at most ${r.show(r.limit)} on this host` }));
  const metadata = Object.fromEntries(numbers);
  throw new HubError('RESOURCES_EXCEEDED', texts.join('; '), { metadata, fields });
}

function sizeRule(example: string): string {
  return `a size of at least 1M, such as "${example}" or "512MiB" (K, M, G, T are powers of 1024; a plain number is bytes)`;
}
