// What a chart draws: lines over one time axis, from the newest samples or from an answer about history.

import { labelValues, natural, seriesKey, type Catalog, type Metric, type Series } from './catalog';
import { gapsBefore, known } from './gaps';
import type { Ring, Rows } from './ring';
import type { Answer } from './schema';

export type Values = (number | null)[];

/** One line. A counter's is its increase per second. */
export interface Line {
  series: Series;
  unit: string;
  values: Values;
  /** Least and greatest of each step; null where a step is one sample. */
  min: Values | null;
  max: Values | null;
  /** What a counter has grown by in all. Null for what is no counter. */
  grown: number | null;
}

export interface Frame {
  /** Milliseconds. */
  t: number[];
  lines: Line[];
  /** How long each step is. */
  stepMs: number;
  /** How far apart the samples are that the steps are made of. */
  resolutionMs: number | null;
  /** What is shown, whether there are values or not. */
  from: number;
  to: number;
}

export type { Answer };

/** Before there is anything to show. */
export const NOTHING: Frame = { t: [], lines: [], stepMs: 0, resolutionMs: null, from: 0, to: 0 };

/** Which series: metrics by id, and of those with labels, maybe one object alone. */
export interface Pick {
  ids: readonly string[];
  labels?: Record<string, string>;
}

export function unitOf(metric: Metric): string {
  if (metric.kind !== 'counter') return metric.unit;
  return metric.unit === 'count' ? '/s' : `${metric.unit}/s`;
}

function picked(pick: Pick, series: Series): boolean {
  return series.metric.labels.every((name, at) => {
    const wanted = pick.labels?.[name];
    return wanted === undefined || wanted === series.labels[at];
  });
}

export function fromRing(ring: Ring, catalog: Catalog, pick: Pick, from: number, to: number, intervalMs: number): Frame {
  const window = ring.window(from, to);
  // Where a null goes in, so that no line crosses a gap.
  const order: number[] = [];
  const t: number[] = [];
  const gaps = gapsBefore(window.t, intervalMs);
  window.t.forEach((time, at) => {
    if (gaps[at]) {
      order.push(-1);
      t.push((window.t[at - 1] ?? 0) + intervalMs);
    }
    order.push(at);
    t.push(time);
  });
  const lines: Line[] = [];
  for (const id of pick.ids) {
    const metric = catalog.get(id);
    if (!metric) continue;
    const all = ring.series(id).filter((series) => picked(pick, series));
    all.sort((a, b) => natural(a.labels.join(), b.labels.join()));
    for (const series of all) {
      const column = window.column(series.key);
      if (!column) continue;
      const { values: read, grown } = metric.kind === 'counter' ? rates(column, window.t) : { values: column, grown: null };
      const values = order.map((at) => {
        const value = at < 0 ? NaN : (read[at] ?? NaN);
        return Number.isNaN(value) ? null : value;
      });
      lines.push({ series, unit: unitOf(metric), values, min: null, max: null, grown });
    }
  }
  return { t, lines, stepMs: intervalMs, resolutionMs: intervalMs, from, to };
}

/** A counter's increase per second, since it was read before. None at the first sample and where it went backwards. */
function rates(column: Float64Array, t: Float64Array): { values: Float64Array; grown: number } {
  let [last, lastAt, grown] = [NaN, NaN, 0];
  const values = column.map((value, at) => {
    if (Number.isNaN(value)) return NaN;
    const [increase, took] = [value - last, (t[at] ?? 0) - lastAt];
    [last, lastAt] = [value, t[at] ?? 0];
    if (!(increase >= 0)) return NaN;
    grown += increase;
    return (increase / took) * 1000;
  });
  return { values, grown };
}

export function fromAnswer(answer: Answer, catalog: Catalog, pick: Pick, from: number, to: number): Frame {
  const found = answer.series.flatMap((one) => {
    const metric = pick.ids.includes(one.id) ? catalog.get(one.id) : undefined;
    if (!metric) return [];
    const labels = labelValues(metric, one.labels);
    const series = { metric, labels, key: seriesKey(one.id, labels) };
    return picked(pick, series) ? [{ one, series }] : [];
  });
  found.sort((a, b) => pick.ids.indexOf(a.one.id) - pick.ids.indexOf(b.one.id));
  // Steps as short as the newest interval are empty where samples were further apart: those are not shown.
  const has = (at: number) => found.some(({ one }) => (one.avg ?? one.increase)?.[at] !== null);
  const rows = shown(answer.t, known(answer.t, has, answer.step_ms));
  const through = (values: Values) => rows.map((at) => values[at] ?? null);
  const single = answer.resolution_ms !== null && answer.resolution_ms >= answer.step_ms && answer.resolution_ms < 60_000;
  const lines = found.map(({ one, series }): Line => ({
    series,
    unit: unitOf(series.metric),
    values: through(one.avg ?? perSecond(answer, one.increase ?? [], to)),
    min: single || !one.min ? null : through(one.min),
    max: single || !one.max ? null : through(one.max),
    grown: series.metric.kind === 'counter' ? (one.increase ?? []).reduce<number>((sum, increase) => sum + (increase ?? 0), 0) : null,
  }));
  return { t: rows.map((at) => answer.t[at] ?? 0), lines, stepMs: answer.step_ms, resolutionMs: answer.resolution_ms, from, to };
}

/** The places of all rows but those that are empty between two that are not, with no gap between them. */
function shown(t: readonly number[], values: ReturnType<typeof known>): number[] {
  const left = new Set<number>();
  values.forEach(({ at, gap }, place) => {
    for (let empty = (values[place - 1]?.at ?? at) + 1; empty < at && !gap; empty += 1) left.add(empty);
  });
  return t.map((_, at) => at).filter((at) => !left.has(at));
}

/** What a counter has grown by, by the time since the step that was known before. */
function perSecond({ t, step_ms: stepMs }: Answer, increases: Values, to: number): Values {
  let before: number | null = null;
  return increases.map((increase, at) => {
    if (increase === null) return null;
    const here = t[at] ?? to;
    // The last step may not be over yet.
    const length = before !== null && here - before > stepMs ? here - before : Math.min(stepMs, to - here);
    before = here;
    return length <= 0 ? null : (increase / length) * 1000;
  });
}

/** Answers to the same question about different metrics as one. Steps that only some of them have are left out. */
export function together(answers: readonly Answer[]): Answer {
  const [first, ...others] = answers;
  if (!first) return { t: [], step_ms: 0, resolution_ms: null, warnings: [], series: [] };
  const alike = others.filter((other) => other.step_ms === first.step_ms && other.t[0] === first.t[0]);
  const length = Math.min(first.t.length, ...alike.map(({ t }) => t.length));
  return {
    ...first,
    t: first.t.slice(0, length),
    series: [first, ...alike].flatMap(({ series }) => series),
    warnings: [...new Set(answers.flatMap(({ warnings }) => warnings))],
  };
}

/** An answer in steps of the sampling interval as rows for the ring. */
export function rowsOf(answer: Answer, catalog: Catalog): Rows {
  const columns: Rows['columns'] = new Map();
  for (const found of answer.series) {
    const metric = catalog.get(found.id);
    const values = found.avg ?? found.last;
    if (!metric || !values) continue;
    const labels = labelValues(metric, found.labels);
    const key = seriesKey(found.id, labels);
    columns.set(key, { series: { metric, labels, key }, values });
  }
  return { t: answer.t, columns };
}

/** Each line on top of those before it. A moment at which a line has no value has none above it either. */
export function stacked(lines: readonly Line[]): Values[] {
  let below: Values | null = null;
  return lines.map((line) => {
    const sums: Values = line.values.map((value, at) => {
      const under = below === null ? 0 : below[at];
      return value === null || under === null || under === undefined ? null : value + under;
    });
    below = sums;
    return sums;
  });
}

/** What tells a line from the others of its chart: the object, the metric's title, or both. */
export function nameOf(line: Line, lines: readonly Line[], pick: Pick): string {
  const { metric, labels } = line.series;
  const shown = labels.filter((_, at) => pick.labels?.[metric.labels[at] ?? ''] === undefined);
  const oneMetric = lines.every((other) => other.series.metric.id === metric.id);
  if (shown.length === 0 || (!oneMetric && commonObject(lines))) return metric.title;
  const object = metric.labels[0] === 'core' && shown.length === 1 ? `core ${shown[0]}` : shown.join(' ');
  return oneMetric ? object : `${object} · ${metric.title}`;
}

/** The object that all of the lines are of; empty when they are of several, or of none. */
export function commonObject(lines: readonly Line[]): string {
  const objects = new Set(lines.map((line) => line.series.labels.join(' ')));
  return objects.size === 1 ? ([...objects][0] ?? '') : '';
}

/** The newest value, unless that is old: what vanished has none. What is sampled less often has one for as long as usual. */
export function newest(line: Line): number | null {
  const last = line.values.findLastIndex((value) => value !== null);
  const before = line.values.slice(0, Math.max(last, 0)).findLastIndex((value) => value !== null);
  const usual = before < 0 ? 1 : last - before;
  return line.values.length - last <= Math.max(FRESH, 2 * usual) ? (line.values[last] ?? null) : null;
}

/** Steps within which a value counts as the newest. */
const FRESH = 4;

/** The lines that matter most: of what is still there, the greatest. */
export function top(lines: readonly Line[], count: number): Line[] {
  const peak = (line: Line) => line.values.reduce<number>((most, value) => Math.max(most, value ?? -Infinity), -Infinity);
  const gone = (line: Line) => Number(newest(line) === null);
  const ranked = lines.map((line) => ({ line, peak: peak(line), gone: gone(line) })).sort((a, b) => a.gone - b.gone || b.peak - a.peak);
  const kept = new Set(ranked.slice(0, count).map(({ line }) => line));
  return lines.filter((line) => kept.has(line));
}

/**
 * What is drawn of many lines: the greatest and those chosen by key. Of several objects, and of the layers of a stack, none that did nothing at
 * all, if others did.
 */
export function drawnOf(lines: Line[], most: number, { chosen = new Set(), stack = false }: { chosen?: ReadonlySet<string>; stack?: boolean } = {}): Line[] {
  const objects = new Set(lines.map((line) => line.series.labels.join()));
  const busy = objects.size > 1 || stack ? lines.filter(stirred) : lines;
  const kept = new Set(top(busy.length > 0 ? busy : lines, most));
  return lines.filter((line) => kept.has(line) || chosen.has(line.series.key));
}

/** Whether it was ever anything but 0. */
export function stirred(line: Line): boolean {
  return line.values.some((value) => value !== null && value !== 0);
}
