import { expect, test } from 'vitest';
import { Catalog } from './catalog';
import { around, told, type Evidence } from './verdict';

const catalog = new Catalog([{ id: 'disk.devices.utilization_percent', title: 'Utilisation', help: '', kind: 'gauge', unit: '%', labels: ['device'], source: '', better: 'lower', zones: [] }]);
const evidence: Evidence = { select: 'disk.devices.utilization_percent{device="vdb"}', from_ms: 1000, to_ms: 1500, value: 97.2, unit: '%', usual: { low: 1, high: 12 } };
const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test('evidence is told by the metric, its object, its value and the usual', () => {
  const all = (of: Partial<Evidence>) => plain(told({ ...evidence, ...of }, catalog).all);
  expect(told(evidence, catalog)).toMatchObject({ name: 'Utilisation', object: 'vdb' });
  expect(all({})).toBe('Utilisation vdb: 97.2 %, usual 1–12 %');
  expect(all({ usual: null, value: null })).toBe('Utilisation vdb: no value');
  expect(all({ select: 'no.such', usual: null })).toBe('no.such: 97.2 %');
});

test('a link shows as much time before it', () => {
  expect(around(evidence)).toEqual({ from: '500', to: '1500' });
});
