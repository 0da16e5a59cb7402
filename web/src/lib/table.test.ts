import { expect, test } from 'vitest';
import type { Frame } from './frame';
import { sentence } from './sentence';
import { csv, fileName } from './table';

const frame: Frame = {
  t: [Date.UTC(2026, 10, 26, 10), Date.UTC(2026, 10, 26, 10, 1)], stepMs: 60_000, resolutionMs: 60_000, from: Date.UTC(2026, 10, 26, 10), to: Date.UTC(2026, 10, 26, 10, 2),
  lines: [
    { series: { key: 'a', labels: ['=cmd,"x"'], metric: { id: 'net.sent', title: 'Sent', help: '', kind: 'gauge', unit: 'bytes/s', labels: ['interface'], source: '', better: null, zones: [] } }, unit: 'bytes/s', values: [1, null], min: null, max: null, grown: null },
    { series: { key: 'b', labels: [], metric: { id: 'cpu.usage', title: 'CPU', help: '', kind: 'gauge', unit: '%', labels: [], source: '', better: null, zones: [] } }, unit: '%', values: [2, 3], min: [1, 2], max: [5, 4], grown: null },
  ],
};

test('a table has a column for what is drawn, and no formulas', () => {
  expect(csv(frame).split('\r\n')).toEqual([
    'time,"net.sent =cmd,""x"" (bytes/s)",cpu.usage (%),cpu.usage (%) min,cpu.usage (%) max',
    '2026-11-26T10:00:00.000Z,1,2,1,5',
    '2026-11-26T10:01:00.000Z,,3,2,4',
    '',
  ]);
  expect([fileName('CPU by mode', 'csv'), fileName('<img>', 'png'), fileName('', 'csv')]).toEqual(['cpu-by-mode.csv', 'img.png', 'chart.csv']);
});

test('a chart is told in a sentence', () => {
  const words = sentence('Load', frame, { ids: [] }).replaceAll('\u00a0', ' ');
  expect(words).toMatch(/^Load, 2 min to \d\d:02: =cmd,"x" · Sent last 1 B\/s, from 1 B\/s to 1 B\/s at \d\d:00; CPU last 3 %, from 1 % to 5 % at \d\d:00\.$/);
  expect(sentence('Load', { ...frame, lines: [] }, { ids: [] })).toContain('no values.');
});
