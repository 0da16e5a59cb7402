import { expect, test } from 'vitest';
import type { Line } from '../lib/frame';
import { columns, extent, options, shape, times, type Plan } from './options';

const line = (key: string, values: (number | null)[], band = false): Line => ({
  series: { key, labels: [], metric: {} as never }, unit: '%', values, min: band ? values : null, max: band ? values : null, grown: null,
});
const look = { series: ['#1', '#2'], muted: '#3', grid: '#4', hatch: '#5', panel: '#6' };
const plan: Plan = { lines: [line('a', [1, null]), line('b', [2, 2], true), line('c', [3, 3])], stack: false, unit: '%' };

test('a band follows its line among the columns', () => {
  expect(columns({ t: [0, 1], stepMs: 1 }, plan)).toEqual([[0, 1], [1, null], [2, 2], [2, 2], [2, 2], [3, 3]]);
  const made = options(plan, look, { width: 1, height: 1 }, () => ({ from: 0, to: 1 }), {});
  expect(made.series).toHaveLength(6);
  expect(made.bands?.map((band) => band.series)).toEqual([[3, 4]]);
});

test('a stack is drawn from sums, each down to the one below', () => {
  const stack = { ...plan, stack: true };
  expect(columns({ t: [0, 1], stepMs: 1 }, stack)).toEqual([[0, 1], [1, null], [3, null], [6, null]]);
  expect(options(stack, look, { width: 1, height: 1 }, () => ({ from: 0, to: 1 }), {}).bands?.map((band) => band.series)).toEqual([[2, 1], [3, 2]]);
  expect(shape(stack)).not.toBe(shape(plan));
});

test('shares go from 0 to 100, rates from 0', () => {
  expect(extent(3, 12, '%')).toEqual([0, 100]);
  expect(extent(3, 120, '%')).toEqual([0, 120]);
  expect(extent(50, 100, 'bytes/s')).toEqual([0, 108]);
  expect(extent(null, null, 'bytes/s')).toEqual([0, 1]);
});

test('moments are as short as their distance allows', () => {
  const at = (...parts: [number, number, number]) => new Date(2026, 10, ...parts).getTime();
  expect(times([at(25, 23, 0), at(26, 0, 0), at(26, 1, 0)])).toEqual(['23:00', '11-26', '01:00']);
  expect(times([at(25, 10, 0), at(25, 10, 0) + 5000])).toEqual(['10:00:00', '10:00:05']);
  expect([times([at(25, 10, 0)]), times([at(25, 0, 0), at(26, 0, 0)])]).toEqual([['10:00'], ['11-25', '11-26']]);
});
