const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes as `512 B`, `1.5 MiB` or `20 GiB`. */
export function bytes(count: number): string {
  let unit = 0;
  let value = count;
  for (; value >= 1024 && unit < UNITS.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${UNITS[unit]}`;
}
