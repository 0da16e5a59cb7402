import { expect, test } from 'vitest';
import { duration, figures, format, moment, scaleFor, ticks } from './format';

const plain = (value: number | null, unit: string) => format(value, unit).replace('\u00a0', ' ');

test('a value is written with three figures and its unit', () => {
  for (const [value, unit, text] of [
    [12.52, '%', '12.5 %'], [100, '%', '100 %'], [0, '%', '0 %'],
    [1536, 'bytes', '1.50 KiB'], [0, 'bytes', '0 B'], [25325268992, 'bytes', '23.6 GiB'],
    [9363259.372, 'bytes/s', '8.93 MiB/s'], [9144.146, 'KB/s', '8.93 MiB/s'], [0.5, 'KB/s', '512 B/s'],
    [682.986, 'ops/s', '683 ops/s'], [22780, 'faults/s', '22.8 k faults/s'], [5, 'count', '5'], [1234567, 'count', '1.23 M'],
    [0.078, 'ms', '78.0 µs'], [12.5, 'ms', '12.5 ms'], [2500, 'ms', '2.50 s'], [2100, 'MHz', '2.10 GHz'], [71.2, '°C', '71.2 °C'],
    [250, 'µs', '250 µs'], [4_200_000, 'µs/s', '4.20 s/s'], [45, 's', '45 s'], [345_600, 's', '4.00 d'], [1, '0 or 1', 'yes'], [0, '0 or 1', 'no'],
    [null, '%', '–'], [NaN, '%', '–'],
  ] as const) expect(plain(value, unit)).toBe(text);
});

test('figures are three', () => {
  expect([0, 0.0049, 0.078, 1.2345, 9.996, 12.345, 99.96, 1234.5].map(figures)).toEqual(['0', '0.005', '0.08', '1.23', '10.0', '12.3', '100', '1235']);
});

test('the ticks of an axis share scale and digits', () => {
  expect(ticks([0, 50, 100], '%')).toEqual(['0', '50', '100 %']);
  expect(ticks([0, 524288, 1048576], 'bytes/s')).toEqual(['0', '0.5', '1.0 MiB/s']);
  expect(ticks([0, 0.25, 0.5], '%')).toEqual(['0', '0.25', '0.50 %']);
  expect(ticks([], '%')).toEqual([]);
  expect(ticks([0, 0.5, 1], '0 or 1')).toEqual(['no', '', 'yes']);
});

test('a scale is that of the largest', () => {
  expect(scaleFor('bytes', 1023)).toEqual({ divisor: 1, unit: 'B' });
  expect(scaleFor('bytes', 1024 ** 9).unit).toBe('PiB');
});

test('a length of time has two units at most', () => {
  expect([250, 40_000, 90_000, 720_000, 12_000_000, 187_200_000].map(duration)).toEqual(['250 ms', '40 s', '90 s', '12 min', '3 h 20 min', '2 d 4 h']);
});

test('a moment of another day has its date', () => {
  const now = new Date(2026, 10, 26, 10, 0).getTime();
  expect(moment(new Date(2026, 10, 26, 3, 12, 5).getTime(), now)).toBe('03:12');
  expect(moment(new Date(2026, 10, 25, 3, 12, 5).getTime(), now, true)).toBe('2026-11-25 03:12:05');
});
