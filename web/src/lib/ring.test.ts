import { expect, test } from 'vitest';
import type { Metric } from './catalog';
import { Ring } from './ring';

const metric: Metric = { id: 'cpu.usage_percent', title: '', help: '', kind: 'gauge', unit: '%', labels: [], source: '', better: null, zones: [] };
const push = (ring: Ring, t: number, value?: number) => ring.push(t, (put) => { if (value !== undefined) put(metric, [], value); });
const rows = (ring: Ring, from = -Infinity, to = Infinity) => {
  const window = ring.window(from, to);
  const column = window.column(metric.id) ?? [];
  return [...window.t].map((t, at) => [t, column[at]]);
};

test('the newest rows are kept in order', () => {
  const ring = new Ring(3);
  for (const t of [1, 2, 3, 4, 5]) push(ring, t, t * 10);
  expect(rows(ring)).toEqual([[3, 30], [4, 40], [5, 50]]);
  expect([ring.oldest, ring.newest, ring.last(metric.id), ring.size]).toEqual([3, 5, 50, 3]);
  expect(rows(ring, 4, 4)).toEqual([[4, 40]]);
  expect(rows(ring, 6, 9)).toEqual([]);
});

test('a row that is not newer is dropped, and a missing value is none', () => {
  const ring = new Ring(3);
  push(ring, 1, 1);
  expect(push(ring, 1, 2)).toBe(false);
  push(ring, 2);
  expect(rows(ring)).toEqual([[1, 1], [2, NaN]]);
  expect(ring.last(metric.id)).toBe(null);
});

test('an old value does not come back when the ring turns', () => {
  const ring = new Ring(2);
  push(ring, 1, 1);
  push(ring, 2, 2);
  push(ring, 3);
  expect(rows(ring)).toEqual([[2, 2], [3, NaN]]);
});

test('what was missed is filled in, and what was seen stays', () => {
  const ring = new Ring(6);
  push(ring, 1003, 1);
  push(ring, 6001, 6);
  push(ring, 7000);
  const series = { metric, labels: [], key: metric.id };
  ring.fill({ t: [0, 1000, 2000, 3000, 4000, 5000, 6000, 7000], columns: new Map([[series.key, { series, values: [0, 99, 2, null, 4, 5, 99, 7] }]]) }, 1000);
  expect(rows(ring)).toEqual([[1003, 1], [2000, 2], [4000, 4], [5000, 5], [6001, 6], [7000, 7]]);
  push(ring, 8000, 8);
  expect(rows(ring).at(-1)).toEqual([8000, 8]);
  expect(ring.size).toBe(6);
});
