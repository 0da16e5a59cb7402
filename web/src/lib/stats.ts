// Statistics of what is on the screen.

import type { Values } from './frame';

export interface Statistics {
  last: number | null;
  mean: number | null;
  median: number | null;
  p95: number | null;
  min: number | null;
  max: number | null;
  /** Where the greatest is. */
  maxAt: number | null;
  /** Steps with a value. */
  count: number;
}

/** The value that a share of the sorted ones is not above: the nearest rank, so one that did occur. */
export function quantile(sorted: readonly number[], share: number): number | null {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

/** Of the values from one place to another. Extremes are those of the samples where they are known. */
export function statistics(values: Values, min: Values | null = null, max: Values | null = null): Statistics {
  const known: number[] = [];
  let [least, greatest, at] = [Infinity, -Infinity, null as number | null];
  values.forEach((value, index) => {
    if (value === null) return;
    known.push(value);
    least = Math.min(least, min?.[index] ?? value);
    const high = max?.[index] ?? value;
    if (high > greatest) [greatest, at] = [high, index];
  });
  const sorted = [...known].sort((a, b) => a - b);
  const sum = known.reduce((sum, value) => sum + value, 0);
  return {
    last: known.at(-1) ?? null,
    mean: known.length ? sum / known.length : null,
    median: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    min: known.length ? least : null,
    max: known.length ? greatest : null,
    maxAt: at,
    count: known.length,
  };
}
