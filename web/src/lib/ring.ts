// The newest samples of every series: columns of numbers, never objects, so that a tick makes no garbage.

import type { Metric, Series } from './catalog';
import { seriesKey } from './catalog';

/** A column of a window: NaN where there is no value. */
export interface Window {
  /** Milliseconds, ascending. */
  t: Float64Array;
  column(key: string): Float64Array | undefined;
}

/** Rows that were asked for later: steps that begin at `t`, with the columns that are known of them. */
export interface Rows {
  t: number[];
  columns: Map<string, { series: Series; values: (number | null)[] }>;
}

export class Ring {
  private times: Float64Array;
  private columns = new Map<string, Float64Array>();
  private known = new Map<string, Map<string, Series>>();
  /** Where the next row goes. */
  private next = 0;
  private length = 0;

  constructor(readonly capacity: number) {
    this.times = new Float64Array(capacity);
  }

  get size(): number {
    return this.length;
  }

  /** The time of the newest row. */
  get newest(): number | null {
    return this.length === 0 ? null : (this.times[(this.next + this.capacity - 1) % this.capacity] ?? null);
  }

  get oldest(): number | null {
    return this.length === 0 ? null : (this.times[this.at(0)] ?? null);
  }

  /** Takes a row. One that is not newer than the newest is dropped; the clock was set back or it came twice. */
  push(t: number, visit: (put: (metric: Metric, labels: string[], value: number) => void) => void): boolean {
    const newest = this.newest;
    if (newest !== null && t <= newest) return false;
    const at = this.next;
    for (const column of this.columns.values()) column[at] = NaN;
    visit((metric, labels, value) => {
      this.column({ metric, labels, key: seriesKey(metric.id, labels) })[at] = value;
    });
    this.times[at] = t;
    this.next = (at + 1) % this.capacity;
    this.length = Math.min(this.length + 1, this.capacity);
    return true;
  }

  /** The series of a metric that were seen. */
  series(id: string): Series[] {
    return [...(this.known.get(id)?.values() ?? [])];
  }

  /** The newest value of a series, unless it is missing in so many of the newest rows. */
  last(key: string, rows = 1): number | null {
    const column = this.columns.get(key);
    for (let back = 1; column && back <= Math.min(rows, this.length); back += 1) {
      const value = column[this.at(this.length - back)] ?? NaN;
      if (!Number.isNaN(value)) return value;
    }
    return null;
  }

  /** Copies of the rows from one moment to another, both included. */
  window(from: number, to: number): Window {
    let [first, end] = [0, this.length];
    while (first < end && (this.times[this.at(first)] ?? 0) < from) first += 1;
    while (end > first && (this.times[this.at(end - 1)] ?? 0) > to) end -= 1;
    return { t: this.copy(this.times, first, end), column: (key) => {
      const column = this.columns.get(key);
      return column && this.copy(column, first, end);
    } };
  }

  /** Fills in what is missing. A step is the row whose time lies in it; rows win over steps. */
  fill(rows: Rows, stepMs: number): void {
    const slot = (t: number) => Math.floor(t / stepMs);
    const merged = new Map<number, { t: number; row: number; step: number }>();
    rows.t.forEach((t, step) => {
      for (const { values } of rows.columns.values()) {
        if (values[step] !== null && values[step] !== undefined) {
          merged.set(slot(t), { t, row: -1, step });
          return;
        }
      }
    });
    for (let row = 0; row < this.length; row += 1) {
      const t = this.times[this.at(row)] ?? 0;
      merged.set(slot(t), { t, row, step: merged.get(slot(t))?.step ?? -1 });
    }
    const order = [...merged.values()].sort((a, b) => a.t - b.t).slice(-this.capacity);
    for (const { series } of rows.columns.values()) this.column(series);
    const moved = new Map<string, Float64Array>();
    for (const [key, column] of this.columns) {
      const fresh = new Float64Array(this.capacity).fill(NaN);
      const values = rows.columns.get(key)?.values;
      order.forEach(({ row, step }, at) => {
        const mine = row >= 0 ? (column[this.at(row)] ?? NaN) : NaN;
        fresh[at] = Number.isNaN(mine) && step >= 0 ? (values?.[step] ?? NaN) : mine;
      });
      moved.set(key, fresh);
    }
    const times = new Float64Array(this.capacity);
    order.forEach(({ t }, at) => { times[at] = t; });
    this.times = times;
    this.columns = moved;
    this.length = order.length;
    this.next = order.length % this.capacity;
  }

  private at(row: number): number {
    return (this.next - this.length + row + this.capacity) % this.capacity;
  }

  private copy(column: Float64Array, first: number, end: number): Float64Array {
    const copy = new Float64Array(end - first);
    const start = this.at(first);
    const head = Math.min(end - first, this.capacity - start);
    copy.set(column.subarray(start, start + head));
    copy.set(column.subarray(0, end - first - head), head);
    return copy;
  }

  private column(series: Series): Float64Array {
    let column = this.columns.get(series.key);
    if (!column) {
      column = new Float64Array(this.capacity).fill(NaN);
      this.columns.set(series.key, column);
      const known = this.known.get(series.metric.id) ?? new Map<string, Series>();
      this.known.set(series.metric.id, known.set(series.key, series));
    }
    return column;
  }
}
