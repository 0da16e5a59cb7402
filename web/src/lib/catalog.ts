// What is measured, as `/api/v1/catalog` tells, and how its values are found in a snapshot.

import type { Metric } from './schema';

export type { Metric };

/** One series: a metric of one object. */
export interface Series {
  metric: Metric;
  /** Values of the metric's labels, in their order. */
  labels: string[];
  /** Unlike every other series' key. */
  key: string;
}

/** Between the id and the labels of a key. No label holds it: the kernel's names have no control characters that JSON keeps raw. */
const SEPARATOR = '\u0001';

export function seriesKey(id: string, labels: readonly string[]): string {
  return labels.length === 0 ? id : id + SEPARATOR + labels.join(SEPARATOR);
}

/** The labels of an answer of the API, in the metric's order. */
export function labelValues(metric: Metric, labels: Record<string, string>): string[] {
  return metric.labels.map((name) => labels[name] ?? '');
}

/** As the API selects it: `disk.devices.read_iops{device="sda"}`. */
export function selectorOf(id: string, labels: Record<string, string>): string {
  const tests = Object.entries(labels).map(([name, value]) => `${name}="${value.replace(/[\\"]/g, '\\$&')}"`);
  return tests.length === 0 ? id : `${id}{${tests.join(',')}}`;
}

/** What a value means, where the catalog says. */
export function zoneOf(metric: Metric, value: number | null): string | null {
  return value === null ? null : (metric.zones.findLast(({ from }) => value >= from)?.name ?? null);
}

export class Catalog {
  readonly metrics: Metric[];
  private readonly byId = new Map<string, Metric>();
  private readonly plans: { metric: Metric; before: string[]; last: string }[] = [];

  constructor(metrics: Metric[]) {
    this.metrics = metrics;
    for (const metric of metrics) {
      this.byId.set(metric.id, metric);
      const before = metric.id.split('.');
      const last = before.pop() ?? '';
      if (metric.kind !== 'info') this.plans.push({ metric, before, last });
    }
  }

  get(id: string): Metric | undefined {
    return this.byId.get(id);
  }

  /** The metrics of a section, such as `cpu`. */
  of(section: string): Metric[] {
    return this.metrics.filter((metric) => metric.id.startsWith(section + '.'));
  }

  /** Shows every number of a snapshot with its metric and its labels; what is so or not as 1 or 0. */
  visit(snapshot: unknown, each: (metric: Metric, labels: string[], value: number) => void): void {
    for (const { metric, before, last } of this.plans) {
      const put = (labels: string[], value: unknown) => {
        if (typeof value === 'number') each(metric, labels, value);
        else if (typeof value === 'boolean') each(metric, labels, Number(value));
      };
      let node = snapshot;
      for (const part of before) node = own(node, part);
      if (!isObject(node)) continue;
      if (metric.labels.length === 0) {
        put([], own(node, last));
        continue;
      }
      const list = own(node, last);
      if (metric.labels.length === 1 && Array.isArray(list)) {
        list.forEach((value, index) => put([String(index)], value));
        continue;
      }
      // A number for each object, by its name; an object that is itself called as the metric is none.
      if (metric.labels.length === 1 && isObject(list) && !Object.hasOwn(list, last)) {
        for (const [name, value] of Object.entries(list)) put([name], value);
        continue;
      }
      // The object's name stands before the last part of the path, and may be any text.
      for (const name of Object.keys(node)) {
        const value = own(own(node, name), last);
        if (Array.isArray(value)) {
          if (metric.labels.length === 2) value.forEach((item, index) => put([name, String(index)], item));
        } else put([name], value);
      }
    }
  }
}

function isObject(node: unknown): node is Record<string, unknown> {
  return typeof node === 'object' && node !== null && !Array.isArray(node);
}

/** A property of its own, whatever it is called. */
export function own(node: unknown, name: string): unknown {
  return isObject(node) && Object.hasOwn(node, name) ? node[name] : undefined;
}

/** Core 10 comes after core 9. */
export function natural(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
