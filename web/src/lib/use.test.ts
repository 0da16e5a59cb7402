import { expect, test } from 'vitest';
import type { Metric } from './catalog';
import { NOTHING, type Frame, type Line, type Pick } from './frame';
import { rows, type Use } from './use';

const line = (id: string, values: (number | null)[], { labels = [] as string[], unit = '%', grown = null as number | null } = {}): Line => ({
  series: { key: id + labels.join(), labels, metric: { id, title: id, help: '', kind: grown === null ? 'gauge' : 'counter', unit, labels: ['device'], source: '', better: null, zones: [] } satisfies Metric },
  unit: grown === null ? unit : '/s', values, min: null, max: null, grown,
});

function shown(use: Partial<Use>, lines: Line[]): string[] {
  const frameOf = (pick: Pick): Frame => ({ ...NOTHING, to: 900_000, lines: lines.filter((one) => pick.ids.includes(one.series.metric.id)) });
  return rows({ utilisation: [], saturation: [], errors: [], ...use }, frameOf).map(({ aspect, title, object, value }) => `${aspect[0]} ${title}${object ? ` ${object}` : ''}: ${value.replace('\u00a0', ' ')}`);
}

const of = (...ids: string[]) => ids.map((id) => ({ ids: [id] }));

test('of each aspect the worst object stands for all, and what the host does not have is left out', () => {
  const lines = [line('busy', [1, 20], { labels: ['sda'] }), line('busy', [1, 97], { labels: ['sdb'] }), line('queue', [4], { labels: ['sda'], unit: 'count' })];
  expect(shown({ utilisation: of('busy'), saturation: of('none', 'queue') }, lines)).toEqual(['u busy sdb: 97 %', 's queue: 4']);
});

test('what was not 0 in the range goes before what was', () => {
  expect(shown({ saturation: of('a', 'b', 'c') }, [line('a', [0, 0]), line('b', [0, 0]), line('c', [5, 0])])).toEqual(['s c: 0 %', 's a: 0 %']);
});

test('a counter is what it has grown by in the range', () => {
  const counted = (grown: number) => [line('kills', [null, grown], { unit: 'count', grown })];
  expect(shown({ errors: of('kills') }, counted(3))).toEqual(['e kills: 3 in 15 min']);
  expect(shown({ errors: of('kills') }, counted(0))).toEqual(['e kills: 0']);
});

test('a state that is not there is not told, and the second of utilisation gives way to it', () => {
  const lines = (readOnly: number) => [line('a', [1]), line('b', [1]), line('c', [1]), line('d', [1]), line('ro', [readOnly], { unit: '0 or 1' })];
  const use = { utilisation: of('a', 'b'), saturation: of('c', 'd'), errors: of('ro') };
  expect(shown(use, lines(0))).toEqual(['u a: 1 %', 'u b: 1 %', 's c: 1 %', 's d: 1 %']);
  expect(shown(use, lines(1))).toEqual(['u a: 1 %', 's c: 1 %', 's d: 1 %', 'e ro: yes']);
});
