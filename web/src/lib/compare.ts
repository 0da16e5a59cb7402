// Two stretches of time side by side, as `/api/v1/compare` answers.

import { labelValues, seriesKey, type Catalog, type Series } from './catalog';
import type { Frame, Values } from './frame';
import type { Compared, Comparison, Metric, SideStatistics } from './schema';

export type { Compared, Comparison, SideStatistics };

/** Both sides as lines of one chart, and their difference as the line of another. */
export function frames(comparison: Comparison, one: Compared, catalog: Catalog): { overlay: Frame; difference: Frame } | null {
  const metric = catalog.get(one.id);
  if (!metric) return null;
  const labels = labelValues(metric, one.labels);
  const series = (side: string): Series => ({ metric, labels, key: seriesKey(one.id, [...labels, side]) });
  const { t, step_ms: stepMs, resolution_ms: resolutionMs } = comparison;
  const shared = { t, stepMs, resolutionMs, from: t[0] ?? 0, to: (t.at(-1) ?? 0) + stepMs };
  const line = (side: string, values: Values) => ({ series: series(side), unit: one.unit, values, min: null, max: null, grown: null });
  const difference = one.now.avg.map((value, at) => {
    const base = one.base.avg[at];
    return value === null || base === null || base === undefined ? null : value - base;
  });
  return {
    overlay: { ...shared, lines: [{ ...line('now', one.now.avg), min: one.now.min, max: one.now.max }, line('base', one.base.avg)] },
    difference: { ...shared, lines: [line('difference', difference)] },
  };
}

/** A base below this part of what it is compared with is near nothing, and a percentage of it says nothing. */
const NEAR_NOTHING = 0.001;

/** The change in percent of the base. Null when that is near nothing. */
export function percent(now: number | null, base: number | null): number | null {
  if (now === null || base === null || base === 0) return null;
  const largest = Math.max(Math.abs(now), Math.abs(base));
  return Math.abs(base) > largest * NEAR_NOTHING ? ((now - base) / Math.abs(base)) * 100 : null;
}

/** A smaller change is as good as none, in percent. */
const NOTICED = 2;

/** Whether a change is for the better. Null where the catalog does not say what is, or nearly nothing has changed. */
export function judged(change: number | null, share: number | null, better: Metric['better']): 'better' | 'worse' | null {
  if (better === null || change === null || change === 0 || (share !== null && Math.abs(share) < NOTICED)) return null;
  return change > 0 === (better === 'higher') ? 'better' : 'worse';
}

/** `+12 %`; a dash when there is no percentage. */
export function signed(share: number | null): string {
  if (share === null) return '–';
  const digits = Math.abs(share) < 10 ? 1 : 0;
  const text = share.toFixed(digits);
  return `${share > 0 ? '+' : ''}${text === '-0.0' ? '0.0' : text}\u00a0%`;
}

/** What a comparison is with, in words. */
export function baseName(vs: string): string {
  return { '-1d': 'a day before', '-7d': 'a week before', prev: 'just before', yesterday: 'a day before', 'last-week': 'a week before' }[vs] ?? vs;
}
