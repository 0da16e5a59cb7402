import { expect, test } from 'vitest';
import { Catalog, selectorOf, type Metric } from './catalog';
import { parse } from './selector';

const metric = (id: string, labels: string[] = []): Metric => ({ id, labels, kind: 'gauge', title: id, help: '', unit: '%', source: '', better: null, zones: [] });
const catalog = new Catalog([metric('cpu.usage_percent'), metric('cpu.user'), metric('disk.partitions.usage_percent', ['mountpoint'])]);

test('a selector is read as the server reads it', () => {
  expect(parse('cpu.usage_percent', catalog)).toEqual({ ids: ['cpu.usage_percent'] });
  expect(parse('cpu.*', catalog)).toEqual({ ids: ['cpu.usage_percent', 'cpu.user'] });
  expect(parse('*usage*{mountpoint="/"}', catalog)).toEqual({ ids: ['disk.partitions.usage_percent'], labels: { mountpoint: '/' } });
  expect(parse('cpu', catalog)).toEqual({ ids: [] });
  for (const text of ['', 'a b', 'cpu{', 'cpu{x}', 'cpu{x="y}']) expect([text, parse(text, catalog)]).toEqual([text, null]);
});

test('what is written is read back, whatever a label holds', () => {
  const labels = { mountpoint: '/mnt/"a\\b", {c}' };
  expect(parse(selectorOf('disk.partitions.usage_percent', labels), catalog)).toEqual({ ids: ['disk.partitions.usage_percent'], labels });
});
