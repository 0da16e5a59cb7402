import { expect, test } from 'vitest';
import { Catalog } from './catalog';
import { around, told, type Evidence } from './verdict';

const catalog = new Catalog([{ id: 'disk.devices.utilization_percent', title: 'Utilisation', help: '', kind: 'gauge', unit: '%', labels: ['device'], source: '', better: 'lower', zones: [] }]);
const evidence: Evidence = { select: 'disk.devices.utilization_percent{device="vdb"}', from_ms: 1000, to_ms: 1500, value: 97.2, unit: '%', usual: { low: 1, high: 12 } };
const plain = (text: string) => text.replaceAll('\u00a0', ' ');

test('evidence is told by the metric, its object, its value and the usual', () => {
  expect(plain(told(evidence, catalog))).toBe('Utilisation vdb 97.2 %, usual 1–12 %');
  expect(plain(told({ ...evidence, usual: null, value: null }, catalog))).toBe('Utilisation vdb none');
  expect(plain(told({ ...evidence, select: 'no.such', usual: null }, catalog))).toBe('no.such 97.2 %');
});

test('a link shows as much time before it', () => {
  expect(around(evidence)).toEqual({ from: '500', to: '1500' });
});
