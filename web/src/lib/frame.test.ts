import { expect, test } from 'vitest';
import { Catalog, type Metric } from './catalog';
import { commonObject, drawnOf, fromAnswer, fromRing, nameOf, newest, rowsOf, stacked, together, top, type Answer } from './frame';
import { Ring } from './ring';

const metric = (id: string, kind: Metric['kind'], labels: string[] = [], unit = 'count'): Metric => ({ id, kind, labels, unit, title: id, help: '', source: '', better: null, zones: [] });
const usage = metric('cpu.usage_percent', 'gauge', [], '%');
const errors = metric('network.interfaces.errors_in', 'counter', ['interface']);
const catalog = new Catalog([usage, errors]);

function ring(): Ring {
  const ring = new Ring(10);
  for (const [t, value, count] of [[1000, 1, 100], [2000, 2, 105], [9000, 9, 112], [10000, 10, 3]] as const) {
    ring.push(t, (put) => { put(usage, [], value); put(errors, ['eth0'], count); put(errors, ['lo'], 0); });
  }
  return ring;
}

test('a gap is a null, and a counter is its increase per second', () => {
  const frame = fromRing(ring(), catalog, { ids: [usage.id, errors.id], labels: { interface: 'eth0' } }, 0, 20000, 1000);
  expect(frame.t).toEqual([1000, 2000, 3000, 9000, 10000]);
  expect(frame.lines.map((line) => [line.unit, line.values])).toEqual([['%', [1, 2, null, 9, 10]], ['/s', [null, 5, null, 1, null]]]);
  expect(frame.lines.map((line) => line.grown)).toEqual([null, 12]);
});

const answer: Answer = {
  t: [0, 10_000], step_ms: 10_000, resolution_ms: 1000, warnings: [],
  series: [
    { id: usage.id, labels: {}, unit: '%', avg: [1, null], min: [0, null], max: [2, null], count: [10, 0] },
    { id: errors.id, labels: { interface: 'eth0' }, unit: 'count', last: [5, 9], increase: [20, 5], count: [10, 5] },
    { id: 'not.known', labels: {}, unit: '', avg: [1, 1], count: [1, 1] },
  ],
};

test('an answer is drawn with its extremes, the last step by how long it is so far', () => {
  const frame = fromAnswer(answer, catalog, { ids: [errors.id, usage.id, 'no.such'] }, 0, 15_000);
  expect(frame.lines.map((line) => [line.series.key, line.values, line.max, line.grown])).toEqual([
    ['network.interfaces.errors_in\u0001eth0', [2, 1], null, 25],
    ['cpu.usage_percent', [1, null], [2, null], null],
  ]);
  expect([...rowsOf(answer, catalog).columns.keys()]).toEqual([usage.id, 'network.interfaces.errors_in\u0001eth0']);
});

test('answers about different metrics are one, as far as their steps go', () => {
  const part = (id: string, t: number[], step = 10): Answer => ({ t, step_ms: step, resolution_ms: 1, warnings: ['w'], series: [{ id, labels: {}, unit: '', avg: t, count: [] }] });
  const one = together([part('a', [0, 10, 20]), part('b', [0, 10]), part('c', [0, 20], 20)]);
  expect([one.t, one.series.map(({ id }) => id), one.warnings]).toEqual([[0, 10], ['a', 'b'], ['w']]);
  expect(together([]).series).toEqual([]);
});

test('samples further apart than the steps are no gaps, and counters grow by the time that it took', () => {
  const t = Array.from({ length: 19 }, (_, at) => at * 1000);
  const at = (values: number[], every: number[]) => t.map((ms) => values[every.indexOf(ms / 1000)] ?? null);
  const mixed: Answer = {
    t, step_ms: 1000, resolution_ms: 1000, warnings: [],
    series: [
      { id: usage.id, labels: {}, unit: '%', avg: at([1, 2, 3, 4, 5, 6, 7], [0, 5, 10, 15, 16, 17, 18]), min: [], max: [], count: [] },
      { id: errors.id, labels: { interface: 'eth0' }, unit: 'count', last: [], increase: at([10, 10, 10, 10, 2, 2, 2], [0, 5, 10, 15, 16, 17, 18]), count: [] },
    ],
  };
  const frame = fromAnswer(mixed, catalog, { ids: [usage.id, errors.id] }, 0, 19_000);
  expect(frame.t.map((ms) => ms / 1000)).toEqual([0, 5, 10, 15, 16, 17, 18]);
  expect(frame.lines.map((line) => line.values)).toEqual([[1, 2, 3, 4, 5, 6, 7], [10, 2, 2, 2, 2, 2, 2]]);
});

test('lines are told apart by what differs', () => {
  const frame = fromRing(ring(), catalog, { ids: [usage.id, errors.id] }, 0, 20000, 1000);
  expect(frame.lines.map((line) => nameOf(line, frame.lines, { ids: [] }))).toEqual(['cpu.usage_percent', 'eth0 · network.interfaces.errors_in', 'lo · network.interfaces.errors_in']);
  expect(top(frame.lines, 1).map((line) => line.series.key)).toEqual([usage.id]);
});

test('a stack is sums, and ends where a part is missing', () => {
  const frame = fromRing(ring(), catalog, { ids: [usage.id, usage.id] }, 0, 20000, 1000);
  expect(stacked(frame.lines)).toEqual([[1, 2, null, 9, 10], [2, 4, null, 18, 20]]);
});

test('what all lines share is their object, and what vanished has no newest value', () => {
  const frame = fromRing(ring(), catalog, { ids: [errors.id] }, 0, 20000, 1000);
  expect(commonObject(frame.lines)).toBe('');
  expect(commonObject(frame.lines.slice(0, 1))).toBe('eth0');
  expect(frame.lines.map(newest)).toEqual([1, 0]);
  expect(newest({ ...frame.lines[0]!, values: [5, null, null, null, null] })).toBe(null);
  expect(newest({ ...frame.lines[0]!, values: [4, null, null, null, null, 5, null, null, null, null] })).toBe(5);
});

test('of many lines the greatest are drawn, none that did nothing, and whatever is chosen', () => {
  const { lines } = fromRing(ring(), catalog, { ids: [errors.id] }, 0, 20000, 1000);
  const keys = (most: number, ...chosen: string[]) => drawnOf(lines, most, { chosen: new Set(chosen) }).map((line) => line.series.labels[0]);
  expect(keys(12)).toEqual(['eth0']);
  expect(keys(1, lines[1]!.series.key)).toEqual(['eth0', 'lo']);
  const still = { ...lines[1]!, series: { ...lines[1]!.series, labels: ['eth0'] } };
  expect([drawnOf([lines[0]!, still], 12).length, drawnOf([lines[0]!, still], 12, { stack: true }).length]).toEqual([2, 1]);
});
