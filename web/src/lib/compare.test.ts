import { expect, test } from 'vitest';
import { Catalog } from './catalog';
import { frames, judged, percent, signed, type Comparison } from './compare';

const statistics = { coverage: 1, mean: 1, median: 1, p95: 1, p99: 1, min: 1, max: 1 };
const side = (avg: (number | null)[]) => ({ avg, min: avg, max: avg, statistics });

test('a difference is only where both sides have a value', () => {
  const one = { id: 'cpu.usage_percent', labels: {}, unit: '%', now: side([5, null, 3]), base: side([2, 2, null]), change: null, change_percent: null };
  const comparison: Comparison = { t: [0, 10, 20], t_base: [0, 10, null], step_ms: 10, statistics_step_ms: 10, resolution_ms: 10, warnings: [], series: [one] };
  const catalog = new Catalog([{ id: one.id, title: '', help: '', kind: 'gauge', unit: '%', labels: [], source: '', better: null, zones: [] }]);
  expect(frames(comparison, one, catalog)?.difference.lines[0]?.values).toEqual([3, null, null]);
  expect(frames(comparison, one, catalog)?.overlay).toMatchObject({ from: 0, to: 30 });
  expect(frames(comparison, one, new Catalog([]))).toBe(null);
});

test('a percentage of nearly nothing is left out', () => {
  expect([percent(15, 10), percent(5, -10), percent(10, 0), percent(10, 0.001), percent(null, 1)]).toEqual([50, 150, null, null, null]);
  expect([signed(12.34), signed(-0.04), signed(-5), signed(null)].map((text) => text.replace('\u00a0', ' '))).toEqual(['+12 %', '0.0 %', '-5.0 %', '–']);
});

test('a change is for the better where the catalog says which way that is', () => {
  expect([judged(5, 10, 'lower'), judged(5, 10, 'higher'), judged(-5, -10, 'lower'), judged(1, null, 'lower')]).toEqual(['worse', 'better', 'better', 'worse']);
  expect([judged(5, 10, null), judged(0.1, 1, 'lower'), judged(0, null, 'lower'), judged(null, null, 'lower')]).toEqual([null, null, null, null]);
});
